"""The words in which benchmarks ask, as their own repositories have them: a changed blank is another benchmark."""

from collections.abc import Mapping

# yipoh/AesBench 576471e, the scripts that call a model for each task.
AESBENCH = {
    "AesP": "{question} Choose one from the following options:\n{options}\n"
    "You should output a correct option without explanation.",
    "AesE": "{question} Choose one from the following options:\n{options}\n"
    "You should output a correct option without explanation.",
    "AesA1": "{question} Choose one from the following options:\n{options}\nYou should output a correct option.",
    "AesI": "{question}",
}
# open-compass/VLMEvalKit e8e78f0: the multiple-choice prompt of its image datasets.
VLMEVALKIT = "Question: {question}\nOptions:\n{lettered}Please select the correct answer from the options above. \n"
# KwaiVGI/Uniaa 13f2294, UNIAA-Bench/aesthetic_perception.py.
UNIAA = "{question}\nChoose between one of the options as follows:\n{lettered}"
# thunderbolt215/UniPercept 3b0133b, src/eval/eval_vqa.py; the options are part of the question.
UNIPERCEPT = (
    "Given the image and the following multiple-choice question, choose the best answer. "
    "Only reply with the letter (A, B, C, or D).\n\nQuestion:\n\n{question}"
)


def fill(template: str, question: str, options: str = "", lettered: Mapping[str, str] | None = None) -> str:
    """Return a prompt; braces in a question stay what they are."""
    lines = "".join(f"{letter}. {text}\n" for letter, text in (lettered or {}).items())
    parts = {"{question}": question, "{options}": options, "{lettered}": lines}
    for name, text in parts.items():
        before, found, after = template.partition(name)
        template = before + text.replace("{", "\0") + after if found else template
    return template.replace("\0", "{")
