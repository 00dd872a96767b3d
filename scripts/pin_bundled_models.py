"""Write the hash and size of the model files inside the package into the catalogue, after one was rebuilt.

    python scripts/pin_bundled_models.py
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

CORE = Path(__file__).resolve().parents[1] / "core"
CATALOGUE = CORE / "elocute" / "models" / "catalogue.py"


def main() -> None:
    sys.path.insert(0, str(CORE))
    from elocute.models.catalogue import MODELS
    from elocute.models.store import place

    text = CATALOGUE.read_text(encoding="utf-8")
    for model in MODELS:
        if not model.bundled:
            continue
        content = place(model).read_bytes()
        pinned = rf'(role="{model.role}",.*?sha256=)"[0-9a-f]*"(,\s+bytes=)[\d_]+'
        new = rf'\g<1>"{hashlib.sha256(content).hexdigest()}"\g<2>{len(content):_}'
        text, found = re.subn(pinned, new, text, count=1, flags=re.DOTALL)
        if not found:
            raise SystemExit(f"{CATALOGUE.name} has no hash to replace for {model.role}")
    CATALOGUE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
