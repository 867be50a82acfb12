import torch

torch.set_num_threads(1)  # the nets here are tiny: a second thread only waits, and a busy machine makes that long
