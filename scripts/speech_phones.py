"""Phone symbols of the speech synthesisers -> the 15 visemes, and labelled segments -> labels every 10 ms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elocute.speech.visemes import FRAME_RATE, VISEMES

Segment = tuple[str, float, float]  # phone, start and end in seconds
Parts = list[tuple[str, float]]  # visemes with their share of the phone's time

NEXT = "H"  # h and glottal stops take the shape of the vowel after them

ARPABET: dict[str, str | Parts] = {
    **dict.fromkeys(("AA", "AE", "AH"), "aa"), "AX": "E", "AO": "oh", "EH": "E", "UH": "ou", "UW": "ou", "W": "ou",
    **dict.fromkeys(("IH", "IX", "IY", "Y"), "ih"), **dict.fromkeys(("ER", "AXR", "R"), "RR"),
    "AW": [("aa", 0.6), ("ou", 0.4)], "AY": [("aa", 0.6), ("ih", 0.4)], "EY": [("E", 0.6), ("ih", 0.4)],
    "OW": [("oh", 0.6), ("ou", 0.4)], "OY": [("oh", 0.6), ("ih", 0.4)],
    **dict.fromkeys(("B", "P", "M", "EM"), "PP"), **dict.fromkeys(("F", "V"), "FF"),
    **dict.fromkeys(("TH", "DH"), "TH"), **dict.fromkeys(("T", "D", "DX"), "DD"),
    **dict.fromkeys(("K", "G", "NG"), "kk"), **dict.fromkeys(("CH", "JH", "SH", "ZH"), "CH"),
    **dict.fromkeys(("S", "Z"), "SS"), **dict.fromkeys(("N", "NX", "EN", "L", "EL"), "nn"),
    **dict.fromkeys(("HH", "HV"), NEXT), **dict.fromkeys(("PAU", "SIL", "SP", "H#", "SSIL", "BRTH"), "sil"),
}  # fmt: skip

_IPA_GROUPS = {
    "sil": "_^$ .,!?;:—…\"()“”|",
    "PP": "pbmɓʙɸβ", "FF": "fvʋɱⱱ", "TH": "θð", "DD": "tdɾʈɖɗ", "kk": "kgɡŋxɣqɢχħʁɰɴɠʕ",
    "CH": "ʃʒɕʑʂʐʧʤʨʥç", "SS": "szʦʣ", "nn": "nlɲʎɫɬɭɳʟɮ", "RR": "ɹrɻʀɝɚɽɜ",
    "aa": "aɑæʌɐäɶã", "E": "eɛəɘẽɞᵊ", "ih": "iɪjɨʏĩʝᵻ", "oh": "oɔɒɤõɵø", "ou": "uʊwɯʉũʍœyɥ", NEXT: "hɦʔ",
}  # fmt: skip
IPA = {symbol: viseme for viseme, symbols in _IPA_GROUPS.items() for symbol in symbols}
IPA_PAIRS = {
    "dʒ": "CH", "tʃ": "CH", "tɕ": "CH", "dʑ": "CH", "tʂ": "CH", "ʈʂ": "CH", "ts": "SS", "dz": "SS",
}  # fmt: skip
_MODIFIERS = set("ˈˌːˑ̃̆̈̊̌̍̚'ʲʰʷˤ̩̪̯̥͡‿ˀ↗↘→↓-‑0123456789")


def visemes_of(phone: str, alphabet: str) -> Parts | None:
    """The visemes of one phone with their shares of its time; None for a mere modifier, which lengthens the phone
    before it. Alphabets: "arpabet", "ipa". Unknown phones count as silence."""
    if alphabet == "arpabet":
        found = ARPABET.get(phone.upper().rstrip("012"), "sil")
        return found if isinstance(found, list) else [(found, 1.0)]
    if alphabet != "ipa":
        raise ValueError(f"unknown phone alphabet {alphabet!r}")
    symbols = "".join(c for c in phone if c not in _MODIFIERS)
    if not symbols:
        return None if phone else [("sil", 1.0)]
    visemes: list[str] = []
    while symbols:
        length = 2 if symbols[:2] in IPA_PAIRS else 1
        viseme = IPA_PAIRS[symbols[:2]] if length == 2 else IPA.get(symbols[0])
        if viseme and visemes[-1:] != [viseme]:
            visemes.append(viseme)
        symbols = symbols[length:]
    if not visemes:
        return [("sil", 1.0)]
    if len(visemes) == 1:
        return [(visemes[0], 1.0)]
    rest = 0.4 / (len(visemes) - 1)  # a diphthong spends more time on its first vowel
    return [(visemes[0], 0.6), *((viseme, rest) for viseme in visemes[1:])]


def label_frames(segments: Sequence[Segment], alphabet: str, frames: int) -> np.ndarray:
    """Segments -> viseme index int64 [frames], frame i at i * 10 ms; what no segment covers is silence."""
    timed: list[list] = []
    for phone, start, end in segments:
        parts = visemes_of(phone, alphabet)
        if parts is None:
            if timed:
                timed[-1][2] = end
            continue
        at = start
        for viseme, share in parts:
            timed.append([viseme, at, at + (end - start) * share])
            at = timed[-1][2]
    times = np.arange(frames) / FRAME_RATE
    labels = np.zeros(frames, np.int64)
    following = "E"
    for viseme, start, end in reversed(timed):
        if viseme == NEXT:
            viseme = following
        following = viseme
        labels[(times >= start) & (times < end)] = VISEMES.index(viseme)
    return labels
