"""The half of the window's tests that runs inside Blender: `blender --python serve.py -- FOLDER`.

Runs FOLDER/ask_N.py on the main thread, between two redraws, and answers with FOLDER/answer_N.json: the value of
`result`, or the traceback as `error`.
"""

import json
import os
import sys
import traceback

import bpy

FOLDER = sys.argv[sys.argv.index("--") + 1]
TICK_SECONDS = 0.02
_names = {"bpy": bpy}
_next = [1]


def put(name, text):
    """Whole or not at all, for whoever waits for the file."""
    with open(os.path.join(FOLDER, f"{name}.part"), "w") as stream:
        stream.write(text)
    os.replace(os.path.join(FOLDER, f"{name}.part"), os.path.join(FOLDER, name))


def tick():
    path = os.path.join(FOLDER, f"ask_{_next[0]}.py")
    if os.path.exists(path):
        with open(path) as stream:
            code = stream.read()
        _names.pop("result", None)
        try:
            exec(compile(code, path, "exec"), _names)
            answer = {"result": _names.get("result")}
        except Exception:  # noqa: BLE001 - told to the other half
            answer = {"error": traceback.format_exc()}
        put(f"answer_{_next[0]}.json", json.dumps(answer))
        _next[0] += 1
    return TICK_SECONDS


bpy.context.preferences.view.show_splash = False
bpy.context.preferences.use_preferences_save = False
bpy.app.timers.register(tick, first_interval=0.5, persistent=True)
