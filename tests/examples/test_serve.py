"""A trained classifier in a server that does not use hf_lcl."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from launching import free_port, start_copy

from hf_lcl.__main__ import main


SERVER = Path(__file__).parents[2] / "examples" / "serve.py"


@pytest.fixture
def server(plain, tmp_path):
    """Runs the server on a free port of this machine until the test ends, and returns its address."""
    pytest.importorskip("fastapi", reason="fastapi and uvicorn come with the extra web")
    port = free_port()
    absent = "import runpy, sys; sys.modules['hf_lcl'] = None; sys.argv = sys.argv[1:]; "
    code = absent + "runpy.run_path(sys.argv[0], run_name='__main__')"
    process = start_copy(["-c", code, str(SERVER), str(plain), str(port)], tmp_path / "said")
    try:
        yield f"http://localhost:{port}/predict"
    finally:
        process.terminate()
        process.join(30)


def ask(address: str, texts: list[str]) -> list[dict]:
    request = Request(address, json.dumps(texts).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=120) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_200_requests_at_once_get_the_labels_that_predict_gives(server, plain, make_texts, tmp_path):
    texts = make_texts(50, 7)["text"][:]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    main(["predict", str(plain), str(tmp_path / "texts.txt"), "--output_file", str(tmp_path / "labels.jsonl")])
    expected = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert len({row["label"] for row in expected}) > 1
    for _ in range(240):
        try:
            ask(server, texts[:1])
            break
        except URLError:  # it is still starting
            time.sleep(0.5)
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda text: ask(server, [text])[0], texts))
    assert len(answers) == 200
    assert [answer["label"] for answer in answers] == [row["label"] for row in expected]
    for answer, row in zip(answers, expected):
        assert answer["score"] == pytest.approx(row["probability"], abs=1e-5)
