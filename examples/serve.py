"""
A classifier as a web service, with transformers and FastAPI only: a list of texts in, a list of labels and scores out.
Needs fastapi and uvicorn, which come with the extra `web`.

    python examples/serve.py out 8000
    curl -X POST localhost:8000/predict -H "Content-Type: application/json" -d '["I got the job!", "Late again."]'
"""

import sys
from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI
from transformers import pipeline


classify, app = pipeline("text-classification", model=sys.argv[1]), FastAPI()


@app.post("/predict")
async def predict(texts: Annotated[list[str], Body()]):  # async: one at a time, tokenizers are not thread-safe
    return classify(texts, truncation=True)


uvicorn.run(app, port=int(sys.argv[2]))
