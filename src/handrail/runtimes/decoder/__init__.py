"""Runs decoders of the GPT-2, Llama and Gemma families on onnxruntime alone."""

from handrail.runtimes.decoder.config import shape_of
from handrail.runtimes.decoder.session import Decoder, File, open_decoder
from handrail.runtimes.decoder.shape import Shape, shape_from
from handrail.runtimes.decoder.weights import packed

__all__ = ["Decoder", "File", "Shape", "open_decoder", "packed", "shape_from", "shape_of"]
