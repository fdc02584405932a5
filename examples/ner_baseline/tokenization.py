"""A WordPiece tokenizer trained on the corpus, as a fast tokenizer of transformers; and labels for its pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examples.ner_baseline.grammar import Sentence

IGNORED = -100  # the label of pieces that torch's loss and the score leave out
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_tokenizer(sentences: Iterable[Sentence], size: int = 700) -> Any:
    """A ``PreTrainedTokenizerFast`` of at most ``size`` pieces, few enough that
    an unseen name is made of seen pieces; the same sentences give the same vocabulary."""
    from tokenizers import Tokenizer, models, processors, trainers
    from transformers import PreTrainedTokenizerFast

    sentences = list(sentences)
    letters = sorted({letter for sentence in sentences for word in sentence.words for letter in word})
    # The trainer numbers the inner letters in the order of a hash table, and settles ties by number; naming them
    # beforehand is what makes its vocabulary the same each time. The learner goes: its special tokens are not ours.
    inner = [f"##{letter}" for letter in letters]
    learner = _cutting(Tokenizer(models.WordPiece(unk_token="[UNK]")))
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=[*_SPECIAL, *inner], initial_alphabet=letters, show_progress=False
    )
    learner.train_from_iterator((" ".join(s.words) for s in sentences), trainer)
    tokenizer = _cutting(Tokenizer(models.WordPiece(learner.get_vocab(), unk_token="[UNK]")))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=512,
    )


def _cutting(tokenizer: Any) -> Any:
    from tokenizers import normalizers, pre_tokenizers

    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def align(word_ids: list[int | None], labels: list[int]) -> list[int]:
    """A label for each piece: that of its word on the word's first piece, ``IGNORED`` on all others."""
    aligned, before = [], None
    for word in word_ids:
        aligned.append(IGNORED if word is None or word == before else labels[word])
        before = word
    return aligned
