"""The head of a timm network: which of its modules it is, and how a fresh one begins."""

from torch import nn

STD = 0.01


def head_names(trunk: nn.Module) -> tuple[str, ...]:
    """The modules that give the classes' logits, as timm calls them."""
    name = getattr(trunk, "pretrained_cfg", {}).get("classifier", "classifier")
    return (name,) if isinstance(name, str) else tuple(name)


def quiet_head(trunk: nn.Module) -> None:
    """Let a fresh head begin without an opinion.

    timm draws an EfficientNet's or MobileNet's head by its number of classes: for two, the logits
    differ by 5 to 10, and the pretrained trunk would first have to unlearn answers that mean
    nothing (ELPV, tf_efficientnet_lite0: a loss of 1.86 in the first epoch; 0.52 with this).
    """
    for name in head_names(trunk):
        head = trunk.get_submodule(name)
        if isinstance(head, nn.Linear | nn.Conv2d):
            nn.init.normal_(head.weight, std=STD)
            if head.bias is not None:
                nn.init.zeros_(head.bias)
