"""An OpenVINO folder with compressed weights and its tokenizer: make_openvino.py HF_DIR TARGET int8|int4"""

import sys

import openvino as ov
from openvino_tokenizers import convert_tokenizer
from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig
from transformers import AutoTokenizer

KINDS = {
    "int8": OVWeightQuantizationConfig(bits=8),
    "int4": OVWeightQuantizationConfig(bits=4, sym=True, group_size=128, ratio=1.0),  # OpenVINO's usual group
}


def main() -> None:
    source, target, kind = sys.argv[1:]
    OVModelForCausalLM.from_pretrained(
        source, export=True, compile=False, quantization_config=KINDS[kind]
    ).save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.save_pretrained(target)
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    ov.save_model(encoder, f"{target}/openvino_tokenizer.xml")
    ov.save_model(decoder, f"{target}/openvino_detokenizer.xml")


if __name__ == "__main__":
    main()
