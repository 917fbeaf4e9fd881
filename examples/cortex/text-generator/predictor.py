from pathlib import Path

from generator import Generator


class PythonPredictor:
    def __init__(self, config):
        self.num_words = config.get("num_words", 20)
        self.generator = Generator(Path("text.txt").read_text())
        print(f"the generator knows {len(self.generator)} words")

    def predict(self, payload):
        return self.generator.continue_(payload["text"], self.num_words)
