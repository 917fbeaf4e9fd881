"""Runs decoders of the GPT-2, Llama and Gemma families on onnxruntime alone."""
