"""Lets a CUDA build of torchvision be imported beside a CPU build of torch: all that vLLM needs.

The package index of a test machine may hold no CPU build of torchvision; the other one stops its
own import with "operator torchvision::nms does not exist". Declaring its two operators first is
enough. Installed by `make test-vllm` as a .pth file, so that every process of vLLM has it. A user's
CPU machine takes torchvision from https://download.pytorch.org/whl/cpu and needs none of this.
"""

import importlib.abc
import importlib.machinery
import sys


class _DeclareOperators(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define("nms" + arguments)
            library.define("qnms" + arguments)
            torch._vigorl_torchvision_operators = library  # lives as long as torch does
        return None


sys.meta_path.insert(0, _DeclareOperators())
