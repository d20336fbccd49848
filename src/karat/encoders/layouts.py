"""The published layouts of checkpoints, as data: where the encoder's keys are, what lies beside them, what h needs.

A row says where in the file the weights are (`places`: the containers that lead to them, and the prefix of the
encoder's keys), which keys are no part of the encoder (`drop`), which architectures it may hold, and how the images
must be prepared. A leading "module." of a key (of a model that was trained on several devices) never counts. Patterns
are as in a shell: `*` stands for anything. Everything in a row comes from the public code that its `source` names, and
which was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .encoder import Preprocessing

Family = Literal["resnet", "selective_resnet", "vit", "xcit"]
Place = tuple[tuple[str, ...], str]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Preprocessing(224, _MEAN, _STD, resize=256)
BICUBIC = Preprocessing(224, _MEAN, _STD, resize=256, interpolation="bicubic")
SWAV = Preprocessing(224, _MEAN, (0.228, 0.224, 0.225), resize=256)
UNSCALED_256 = Preprocessing(256, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize=256)
UNSCALED_224 = Preprocessing(224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize=256)
CIFAR = Preprocessing(32, (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))


@dataclass(frozen=True)
class Layout:
    """A row: how one kind of file holds an encoder.

    Attributes:
        name: what `layout=` takes.
        places: where the encoder may be: the containers that lead to the keys, and the keys' prefix.
        drop: patterns of keys that are no part of the encoder, each with what they are.
        preprocessing: what the images must look like, by the authors' own evaluation.
        families: the architectures that it may hold.
        source: the public code that the row was read from.
        needs: patterns of which each must match a key; they tell apart what has the same encoder keys.
        rename: regular expressions and replacements from the file's names to torchvision's.
        heads: attention heads by width, where they are not one for 64 features.
        stem: of a ResNet. "7x7": torchvision's; "solo-learn-cifar": 3x3, stride 1, padding 2, and no max-pooling.
        positions: whether position embeddings of another image size are resampled.
        on_request: found only if `layout=` names it.
        note: what a user should know of the choice.
    """

    name: str
    places: tuple[Place, ...]
    drop: tuple[tuple[str, str], ...]
    preprocessing: Preprocessing
    families: tuple[Family, ...]
    source: str
    needs: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    heads: tuple[tuple[int, int], ...] = ()
    stem: Literal["7x7", "solo-learn-cifar"] = "7x7"
    positions: bool = False
    on_request: bool = False
    note: str = ""


_SOLO_LEARN_DROPS = (
    ("momentum_*", "momentum copy"),
    ("projector.*", "projector"),
    ("predictor.*", "predictor"),
    ("classifier.*", "online classifier"),
    ("head.*", "DINO head"),
    ("prototypes.*", "prototypes"),
    ("queue*", "queue"),
    ("dino_loss_func.*", "state of the loss"),
)

_SIMCLR_V2_RENAMES = (
    (r"^net\.(\d)\.blocks\.(\d+)\.projection\.bn\.0\.", r"layer\1.\2.downsample.1."),
    (r"^net\.(\d)\.blocks\.(\d+)\.projection\.shortcut\.", r"layer\1.\2.downsample.0."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.0\.", r"layer\1.\2.conv1."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.1\.0\.", r"layer\1.\2.bn1."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.2\.", r"layer\1.\2.conv2."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.3\.0\.", r"layer\1.\2.bn2."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.4\.", r"layer\1.\2.conv3."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.5\.0\.", r"layer\1.\2.bn3."),
    (r"^net\.0\.0\.", "conv1."),
    (r"^net\.0\.1\.0\.", "bn1."),
)

_SIMCLR_V2_SELECTIVE_RENAMES = (
    (r"^net\.(\d)\.blocks\.(\d+)\.projection\.bn\.0\.", r"layer\1.\2.downsample.3."),
    (r"^net\.(\d)\.blocks\.(\d+)\.projection\.shortcut\.2\.", r"layer\1.\2.downsample.2."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.0\.", r"layer\1.\2.conv1."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.1\.0\.", r"layer\1.\2.bn1."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.2\.main_conv\.0\.", r"layer\1.\2.conv2.main.0."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.2\.main_conv\.1\.0\.", r"layer\1.\2.conv2.main.1."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.2\.mixing_conv\.0\.", r"layer\1.\2.conv2.mixing.0."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.2\.mixing_conv\.1\.0\.", r"layer\1.\2.conv2.mixing.1."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.2\.mixing_conv\.2\.", r"layer\1.\2.conv2.mixing.3."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.3\.", r"layer\1.\2.conv3."),
    (r"^net\.(\d)\.blocks\.(\d+)\.net\.4\.0\.", r"layer\1.\2.bn3."),
    (r"^net\.0\.0\.", "conv1.0."),
    (r"^net\.0\.1\.0\.", "conv1.1."),
    (r"^net\.0\.2\.", "conv1.3."),
    (r"^net\.0\.3\.0\.", "conv1.4."),
    (r"^net\.0\.4\.", "conv1.6."),
    (r"^net\.0\.5\.0\.", "bn1."),
)

# The first of several rows that agree is taken: the more special ones come first.
LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "moco",
        places=((("state_dict",), "encoder_q."),),
        drop=(
            ("encoder_q.fc.*", "projector"),
            ("encoder_k.*", "momentum copy"),
            ("queue", "queue"),
            ("queue_ptr", "queue"),
        ),
        preprocessing=IMAGENET,
        families=("resnet",),
        source="facebookresearch/moco: moco/builder.py, main_lincls.py",
        note="the query encoder, as in the authors' linear evaluation",
    ),
    Layout(
        "moco-v3",
        places=((("state_dict",), "base_encoder."),),
        drop=(
            ("base_encoder.fc.*", "projector"),
            ("base_encoder.head.*", "projector"),
            ("momentum_encoder.*", "momentum copy"),
            ("predictor.*", "predictor"),
        ),
        preprocessing=IMAGENET,
        families=("resnet", "vit"),
        heads=((384, 12), (768, 12), (1024, 16), (1280, 16)),
        source="facebookresearch/moco-v3: vits.py, moco/builder.py, main_lincls.py",
        note="the base encoder, as in the authors' linear evaluation",
    ),
    Layout(
        "simsiam",
        places=((("state_dict",), "encoder."),),
        drop=(("encoder.fc.*", "projector"), ("predictor.*", "predictor")),
        preprocessing=IMAGENET,
        families=("resnet",),
        source="facebookresearch/simsiam: simsiam/builder.py, main_lincls.py",
    ),
    Layout(
        "swav",
        places=((("state_dict",), ""), ((), "")),
        drop=(("projection_head.*", "projector"), ("prototypes.*", "prototypes")),
        needs=("projection_head.*",),
        preprocessing=SWAV,
        families=("resnet",),
        source="facebookresearch/swav: src/resnet50.py, eval_linear.py, hubconf.py",
        note="its padding of 1 and conv1 with padding 2 are torchvision's padding of 3",
    ),
    Layout(
        "vicreg",
        places=(((), ""), (("model",), "backbone.")),
        drop=(("projector.*", "projector"),),
        preprocessing=IMAGENET,
        families=("resnet",),
        source="facebookresearch/vicreg: resnet.py, hubconf.py, main_vicreg.py, evaluate.py",
    ),
    Layout(
        "barlow-twins",
        places=(((), ""), (("model",), "backbone.")),
        drop=(("projector.*", "projector"), ("bn.*", "normalisation of the loss")),
        preprocessing=IMAGENET,
        families=("resnet",),
        source="facebookresearch/barlowtwins: main.py, evaluate.py, hubconf.py",
    ),
    Layout(
        "dino",
        places=(((), ""),),
        drop=(),
        preprocessing=BICUBIC,
        families=("resnet", "vit", "xcit"),
        source="facebookresearch/dino: hubconf.py, eval_knn.py, vision_transformer.py",
    ),
    Layout(
        "dino-full",
        places=((("teacher",), "backbone."),),
        drop=(("head.*", "DINO head"),),
        preprocessing=BICUBIC,
        families=("resnet", "vit", "xcit"),
        source="facebookresearch/dino: main_dino.py, utils.py, eval_linear.py (--checkpoint_key teacher)",
        note="the teacher, as in the authors' evaluation; layout='dino-full-student' takes the student",
    ),
    Layout(
        "dino-full-student",
        places=((("student",), "backbone."),),
        drop=(("head.*", "DINO head"),),
        preprocessing=BICUBIC,
        families=("resnet", "vit", "xcit"),
        source="facebookresearch/dino: main_dino.py, utils.py",
        on_request=True,
    ),
    Layout(
        "dinov2",
        places=(((), ""),),
        drop=(("mask_token", "stands for masked patches in training"),),
        needs=("mask_token", "blocks.*.ls1.gamma"),
        preprocessing=BICUBIC,
        families=("vit",),
        positions=True,
        source="facebookresearch/dinov2: hub/backbones.py, models/vision_transformer.py, data/transforms.py",
        note="at 224 pixels, as in the authors' linear evaluation, with their resampling of the position embeddings",
    ),
    Layout(
        "dinov2-training",
        places=((("model",), "teacher.backbone."), (("teacher",), "backbone.")),
        drop=(
            ("teacher.backbone.mask_token", "stands for masked patches in training"),
            ("backbone.mask_token", "stands for masked patches in training"),
            ("teacher.dino_head.*", "DINO head"),
            ("teacher.ibot_head.*", "iBOT head"),
            ("dino_head.*", "DINO head"),
            ("ibot_head.*", "iBOT head"),
            ("student.*", "student"),
            ("dino_loss.*", "state of the loss"),
            ("ibot_patch_loss.*", "state of the loss"),
        ),
        needs=("*backbone.mask_token", "*backbone.blocks.*.ls1.gamma"),
        preprocessing=BICUBIC,
        families=("vit",),
        positions=True,
        source="facebookresearch/dinov2: train/ssl_meta_arch.py, issue 235",
        note="the teacher, as in the authors' evaluation",
    ),
    Layout(
        "simclr-v2",
        places=((("resnet",), ""),),
        drop=(("fc.*", "supervised classifier"),),
        preprocessing=UNSCALED_224,
        families=("resnet",),
        rename=_SIMCLR_V2_RENAMES,
        source="Separius/SimCLRv2-Pytorch: resnet.py, convert.py, verify.py",
    ),
    Layout(
        "simclr-v2-selective",
        places=((("resnet",), ""),),
        drop=(("fc.*", "supervised classifier"),),
        preprocessing=UNSCALED_224,
        families=("selective_resnet",),
        rename=_SIMCLR_V2_SELECTIVE_RENAMES,
        source="Separius/SimCLRv2-Pytorch: resnet.py, convert.py, verify.py",
    ),
    Layout(
        "vissl",
        places=(
            (("classy_state_dict", "base_model", "model", "trunk"), "_feature_blocks."),
            (("model_state_dict",), "_feature_blocks."),
            ((), "_feature_blocks."),
        ),
        drop=(),
        preprocessing=IMAGENET,
        families=("resnet",),
        source="facebookresearch/vissl: extra_scripts/convert_vissl_to_torchvision.py, "
        "imagenet1k/eval_resnet_8gpu_transfer_in1k_linear.yaml",
    ),
    Layout(
        "lightly",
        places=((("state_dict",), "backbone."),),
        drop=(
            ("projection_head.*", "projector"),
            ("prediction_head.*", "predictor"),
            ("online_classifier.*", "online classifier"),
            ("prototypes.*", "prototypes"),
            ("queues.*", "queue"),
            ("criterion.*", "state of the loss"),
            ("student_*", "student"),
            ("teacher_*", "momentum copy"),
            ("query_*", "query encoder"),
        ),
        preprocessing=IMAGENET,
        families=("resnet",),
        source="lightly-ai/lightly: benchmarks/imagenet/resnet50/*.py",
        note="the encoder that its own evaluation takes: for MoCo the momentum encoder, for DINO the teacher",
    ),
    Layout(
        "solo-learn",
        places=((("state_dict",), "backbone."), (("state_dict",), "encoder.")),
        drop=_SOLO_LEARN_DROPS,
        preprocessing=IMAGENET,
        families=("resnet",),
        source="vturrisi/solo-learn: solo/methods/base.py, main_linear.py, solo/data/classification_dataloader.py",
        note="as trained on ImageNet or ImageNet-100",
    ),
    Layout(
        "solo-learn-cifar",
        places=((("state_dict",), "backbone."), (("state_dict",), "encoder.")),
        drop=_SOLO_LEARN_DROPS,
        preprocessing=CIFAR,
        families=("resnet",),
        stem="solo-learn-cifar",
        source="vturrisi/solo-learn: solo/methods/base.py, main_linear.py, solo/data/classification_dataloader.py",
        note="as trained on CIFAR-10 or CIFAR-100",
    ),
    Layout(
        "mmpretrain",
        places=((("state_dict",), "backbone."), (("state_dict",), "")),
        drop=(("neck.*", "projector"), ("head.*", "head")),
        preprocessing=IMAGENET,
        families=("resnet",),
        source="open-mmlab/mmpretrain: configs/simclr/metafile.yml, "
        "configs/_base_/datasets/imagenet_bs32_pil_resize.py",
    ),
    Layout(
        "simclr-v1",
        places=((("state_dict",), ""),),
        drop=(("fc.*", "supervised classifier"),),
        needs=("fc.weight",),
        preprocessing=UNSCALED_256,
        families=("resnet",),
        source="tonylins/simclr-converter: convert.py, eval.py",
    ),
    Layout(
        "torchvision",
        places=((("state_dict",), ""), ((), "")),
        drop=(("fc.*", "classifier"),),
        preprocessing=IMAGENET,
        families=("resnet",),
        source="pytorch/vision: torchvision/models/resnet.py; pytorch/examples: imagenet/main.py",
    ),
)
