from analyzers import sentiment, summarizer
from starlette.responses import JSONResponse


class PythonPredictor:
    def __init__(self, config):
        self.models = {"sentiment": sentiment(), "summarizer": summarizer()}

    def predict(self, query_params, payload):
        name = query_params.get("model")
        if name == "sentiment":
            return self.models[name](payload["text"])[0]
        if name == "summarizer":
            return self.models[name](payload["text"])[0]["summary_text"]
        return JSONResponse({"error": f"unknown model: {name}"}, status_code=400)
