labels = ["setosa", "versicolor", "virginica"]


class ONNXPredictor:
    def __init__(self, onnx_client, config):
        self.client = onnx_client

    def predict(self, payload):
        flower = [payload[name] for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")]
        label, _ = self.client.predict(flower)
        return labels[label[0]]
