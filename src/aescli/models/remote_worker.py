"""Runs a checkpoint's own code, in a process and an environment of its own, and answers over JSON lines.

    python remote_worker.py FOLDER cpu fp32

It is run by its path: nothing of `aescli` is imported, since the environment's libraries are older. The first line it
writes is `{"ready": ...}` or `{"error": ...}`; then each line that it reads is a request
    {"do": METHOD, "shape": [tiles, side, side, 3], "pixels": BASE64, ...}
and each line that it writes an answer, `{"value": ...}` or `{"error": ...}`. METHOD is one of those that
HumanAesExpert's code has: score, run_metavoter, expert_score, expert_annotataion (as it is spelled there).
"""

import base64
import inspect
import json
import os
import sys
from typing import Any, TextIO

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    folder, device, data_type = sys.argv[1:]
    # Whatever the code prints goes to stderr: the lines on stdout are ours.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        model, tokenizer, versions = load(folder, device, data_type)
    except Exception as error:  # noqa: BLE001 - it is told, whatever it is
        _write(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    _write(answers, {"ready": versions})
    for line in sys.stdin:
        try:
            _write(answers, {"value": answer(json.loads(line), model, tokenizer)})
        except Exception as error:  # noqa: BLE001 - the same
            _write(answers, {"error": f"{type(error).__name__}: {error}"})


def load(folder: str, device: str, data_type: str) -> tuple[Any, Any, dict[str, str]]:
    """Return the model and its tokenizer; a weight that is missing is an error, never a random one."""
    import torch
    import transformers

    model, found = transformers.AutoModel.from_pretrained(
        folder,
        trust_remote_code=True,
        local_files_only=True,
        use_safetensors=True,
        torch_dtype={"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[data_type],
        output_loading_info=True,
    )
    wrong = [*found["missing_keys"], *found["unexpected_keys"], *map(str, found["mismatched_keys"])]
    if wrong:
        raise ValueError(f"tensors are missing, unexpected or of another shape: {', '.join(wrong[:6])}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True, local_files_only=True)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    return model.to(device).eval(), tokenizer, versions


def answer(request: dict[str, Any], model: Any, tokenizer: Any) -> Any:
    """Call one method and return what it says as JSON values."""
    import torch

    data = torch.frombuffer(bytearray(base64.b64decode(request["pixels"])), dtype=torch.uint8)
    mean, std = torch.tensor(_MEAN), torch.tensor(_STD)
    pixels = ((data.reshape(request["shape"]).float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
    parameter = next(model.parameters())
    words: list[Any] = [tokenizer, pixels.to(parameter.device, parameter.dtype)]
    if request["do"] == "score":
        words.append(request["question"])
    if request["do"] == "expert_annotataion":
        words.append(request["generation"])
    method = getattr(model, request["do"])
    if not inspect.ismethod(method):
        raise TypeError(f"{request['do']} is no method of this checkpoint")
    with torch.inference_mode():
        return _plain(method(*words))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _write(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
