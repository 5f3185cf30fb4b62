"""SEC-2: what a model's files have for a chat template is text to look at, never a program."""

import json
import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from ponder.model.config import PRESETS
from ponder.model.formats.hf_save import save_hf
from ponder.model.weights.build import random_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

PAYLOADS = [
    "{{ cycler.__init__.__globals__.os.system('touch TRACE') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('touch TRACE').read() }}",
    "{% for c in [].__class__.__base__.__subclasses__() %}{% if 'warning' in c.__name__ %}"
    "{{ c()._module.__builtins__['__import__']('os').system('touch TRACE') }}{% endif %}{% endfor %}",
    "{{ lipsum.__globals__['os'].popen('touch TRACE') }}",
    "{% for i in range(10**9) %}{{ i }}{% endfor %}",
    "{{ 'a' * 10**10 }}",
    "{% include '/etc/passwd' %}",
    "{{ messages.__class__ }} <think> enable_thinking </think>",
    "{%",
]
RUN = """
import sys
class NoJinja:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] != "jinja2", "a template engine is imported"
sys.meta_path.insert(0, NoJinja())
from ponder import LLM, Message
from ponder.model.info import describe
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer
tokenizer = Tokenizer.from_path(sys.argv[1])
asked = [Message.system("s"), Message.user("u")]
texts = {render(asked, tokenizer, template=describe(folder).template).text for folder in sys.argv[1:]}
with LLM(sys.argv[1]) as llm:
    texts.add(llm.render(asked).text)
    llm.chat("u", max_tokens=1)
assert texts == {"<|im_start|>system\\ns<|im_end|>\\n<|im_start|>user\\nu<|im_end|>\\n<|im_start|>assistant\\n"}, texts
"""


def test_payloads_in_a_folder_do_nothing(tmp_path: Path) -> None:
    config = replace(PRESETS["tiny"], vocab_size=151936, max_position_embeddings=512)
    whole = tmp_path / "whole"
    save_hf(whole, random_checkpoint(config), "bf16")
    save(Tokenizer.packaged(), whole)
    folders = []
    for n, payload in enumerate(PAYLOADS):
        folder = tmp_path / f"m{n}"
        folder.mkdir()
        for file in whole.iterdir():
            (folder / file.name).symlink_to(file)
        trap = payload.replace("TRACE", str(tmp_path / "TRACE"))
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        (folder / "tokenizer_config.json").unlink()
        told = json.loads((whole / "tokenizer_config.json").read_text()) | {"chat_template": trap}
        (folder / "tokenizer_config.json").write_text(json.dumps(told))
        if n % 2:
            (folder / "chat_template.jinja").write_text(trap)
        folders.append(str(folder))
    done = subprocess.run([sys.executable, "-c", RUN, *folders], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "TRACE").exists()
