"""Networks that train with more branches than they judge with, folded before they are exported."""

from training.models import Network, timm


def reparameterised(network: Network) -> Network:
    """The same function with its branches folded into plain convolutions, where timm's architecture
    has such (MobileOne, RepVGG, RepGhost, FastViT); else the network as it is.

    Batch norm is folded by the export itself.
    """
    network.eval()
    network.trunk = timm.utils.reparameterize_model(network.trunk)
    network.lay_out(channels_last=network.channels_last)
    return network.eval()
