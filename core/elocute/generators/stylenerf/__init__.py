"""StyleNeRF (Gu et al., ICLR 2022) as NeRFFaceSpeech uses it: a style-modulated NeRF at 32x32, then 2-D upsampling.

`generator.StyleNerf` is what callers use; `plain` is the clear version that the fast one is tested against.
"""
