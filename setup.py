"Installs `sdf_dino`. All settings are in settings.ini, which nbdev reads too."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(HERE / "settings.ini", encoding="utf-8")
settings = ini["DEFAULT"]
readme = HERE / "README.md"


class BuildWithoutIndex(build_py):
    "Leaves `_modidx.py`, an index that only nbdev reads, out of the wheel"
    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        return [found for found in modules if found[1] != "_modidx"]


def page(name): return f"https://github.com/{settings['user']}/{settings['repo']}/{name}"


PAGES = {
    "Source": page("").rstrip("/"), "Documentation": page("tree/main/docs"), "Changelog": page("blob/main/CHANGELOG.md"),
    "Citation": page("blob/main/CITATION.cff"), "Issues": page("issues")}
CLASSIFIERS = [
    "Development Status :: 3 - Alpha", "Environment :: Console", "Intended Audience :: Science/Research",
    "Operating System :: POSIX :: Linux", "Operating System :: MacOS", "Operating System :: Microsoft :: Windows",
    *(f"Programming Language :: Python :: {version}" for version in ("3", "3.11", "3.12", "3.13")),
    "Topic :: Multimedia :: Graphics :: 3D Modeling", "Topic :: Scientific/Engineering :: Artificial Intelligence"]


def words(key): return settings.get(key, "").split()


extras = [key for key in settings if key.endswith("_requirements")]
setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    author=settings["author"],
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=settings["keywords"],
    project_urls=PAGES,
    classifiers=CLASSIFIERS,
    packages=find_packages(include=["sdf_dino", "sdf_dino.*"]),
    package_data={settings["lib_name"]: ["data/*.yml", "weights/*/*", "weights/*/*/*"]},
    cmdclass={"build_py": BuildWithoutIndex},
    python_requires=f">={settings['min_python']}",
    install_requires=words("requirements"),
    extras_require={key.removesuffix("_requirements"): words(key) for key in extras},
    entry_points={"console_scripts": words("console_scripts")},
)
