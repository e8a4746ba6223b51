from eegdecode.models.eegnet import EEGNet


def test_it_has_the_papers_parameters():
    """EEGNet-8,2 at 128 Hz, 64 channels, 1 s, 4 classes: filters, norms and the dense layer, counted by hand."""
    net = EEGNet(64, 128, 4, 128.0)
    by_hand = 8 * 64 + 2 * 8 + 16 * 64 + 2 * 16 + 16 * 16 + 16 * 16 + 2 * 16 + (16 * 4 * 4 + 4)
    assert sum(p.numel() for p in net.parameters()) == by_hand
