"Boards, sheets and cloth that other tools fail at"
import numpy as np
import trimesh


def board(size, place): return trimesh.creation.box(size).apply_translation(place)


def grid(n, height):
    "A square sheet of n x n cells with a height at each vertex"
    x, y = np.meshgrid(*[np.linspace(-.4, .4, n + 1)]*2, indexing="ij")
    vertices = np.stack([x, y, height(x, y)], -1).reshape(-1, 3)
    i = np.arange(n*(n + 1)).reshape(n, n + 1)[:, :-1].ravel()
    faces = np.concatenate([np.stack([i, i + n + 1, i + 1], 1), np.stack([i + 1, i + n + 1, i + n + 2], 1)])
    return trimesh.Trimesh(vertices, faces, process=False)


def closet():
    "Five boards, a back and two doors, 0.3 % to 2 % thick, as separate boxes that touch or leave a gap"
    walls = [board((.02, .4, .9), (x, 0, 0)) for x in (-.24, .24)] + [board((.5, .4, .02), (0, 0, z)) for z in (-.44, 0, .44)]
    doors = [board((.235, .01, .88), (x, -.206, 0)) for x in (-.12, .12)]
    return trimesh.util.concatenate([*walls, board((.5, .003, .9), (0, .2, 0)), *doors])


SHEETS = {"sheet": grid(8, lambda x, y: 0*x + .05*x*x), "cloth": grid(24, lambda x, y: .1*np.sin(12*x)*np.cos(5*y)),
          "folded": grid(24, lambda x, y: .2*np.abs(x))}
