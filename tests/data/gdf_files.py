"""Write GDF 1.25 (Schlögl, 2006), for which no library has a writer."""

from pathlib import Path

import numpy as np


def write_gdf(file, raw, events):
    """Write the signals of `raw` (whole seconds of them, 0.1 µV steps) and (sample, code) events."""
    names, sfreq = raw.ch_names, int(raw.info["sfreq"])
    n_chans, n_seconds = len(names), raw.n_times // sfreq
    signals = np.round(raw.get_data() * 1e7).astype("<i2").reshape(n_chans, n_seconds, sfreq)
    length = np.array([256 * (n_chans + 1)], "<i8").tobytes()
    header = b"GDF 1.25" + b"X X".ljust(80) + bytes(80) + b"2020010100000000" + length + bytes(44)
    header += np.array([n_seconds], "<i8").tobytes() + np.array([1, 1, n_chans], "<u4").tobytes()
    header += b"".join(name.encode().ljust(16) for name in names) + bytes(80 * n_chans) + b"uV".ljust(8) * n_chans
    for value, kind in ((-3276.8, "<f8"), (3276.7, "<f8"), (-32768, "<i8"), (32767, "<i8")):
        header += np.full(n_chans, value, kind).tobytes()    # physical and digital range
    header += bytes(80 * n_chans) + np.full(n_chans, sfreq, "<i4").tobytes() + np.full(n_chans, 3, "<i4").tobytes()
    samples, codes = np.array(events).T
    table = bytes([1]) + sfreq.to_bytes(3, "little") + np.array([len(codes)], "<u4").tobytes()
    table += (samples + 1).astype("<u4").tobytes() + codes.astype("<u2").tobytes()
    Path(file).write_bytes(header + bytes(32 * n_chans) + signals.transpose(1, 0, 2).tobytes() + table)
