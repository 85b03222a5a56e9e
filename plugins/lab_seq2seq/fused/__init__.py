"""Hand-written forward and backward passes of `Seq2SeqRNN`; `forward.fused_forward` is the entrance."""
