"""The logits of a model directory, as the installed version of transformers loads it; runs by itself too.

    python logits.py FILE DIRECTORY...

writes for each directory the logits at places within and beyond the original context, and the tokens of two texts.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

LENGTH = 600
PLACES = (3, 200, 255, 300, 599)
TEXT = "How easy is it to learn from this example? Rate 1 to 5."


def read(directory: Path) -> dict[str, Any]:
    """Logits in float32 at `PLACES` of `LENGTH` tokens, and the IDs of a text and of a rendered question."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    # Versions differ in what they take by themselves, and one of theirs leaves out the caps of Gemma 2.
    model: Any = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").float().eval()
    rows = model.config.vocab_size
    ids = (torch.arange(LENGTH)[None] * 7 + torch.arange(LENGTH)[None] ** 2 % 11) % rows
    with torch.no_grad():
        # No cache: a cache of old versions is not what is compared.
        logits = model(ids, use_cache=False).logits[0, list(PLACES)]
    question = tokenizer.apply_chat_template(
        [{"role": "user", "content": TEXT}], tokenize=False, add_generation_prompt=True
    )
    return {
        "logits": logits.tolist(),
        "text": tokenizer(TEXT)["input_ids"],
        "question": tokenizer(question, add_special_tokens=False)["input_ids"],
        "rendered": question,
        "ends": [tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token],
    }


if __name__ == "__main__":
    found = {directory: read(Path(directory)) for directory in sys.argv[2:]}
    Path(sys.argv[1]).write_text(json.dumps(found))
