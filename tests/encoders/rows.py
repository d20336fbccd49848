"""Each published checkpoint, with exactly its top level, prefixes and shapes, and what must be dropped of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .published import (
    OPTIMIZER,
    Published,
    Shapes,
    batch_norm,
    cifar_resnet18,
    dino_head,
    hollow,
    linear,
    resnet,
    simclr_v2,
    vit,
    wide_resnet,
    xcit,
)

R18, R50 = resnet("resnet18"), resnet("resnet50")
R50X2, R50X4 = wide_resnet((3, 4, 6, 3), 2), wide_resnet((3, 4, 6, 3), 4)
R200X2 = wide_resnet((3, 24, 36, 3), 2)
VITS16, VITS8 = vit(384, 12, 16, tokens=197), vit(384, 12, 8, tokens=785)
VITB16, VITB8 = vit(768, 12, 16, tokens=197), vit(768, 12, 8, tokens=785)
PLAIN = frozenset({"vicreg", "barlow-twins", "dino", "torchvision"})


def published() -> Iterator[Published]:
    yield from moco()
    yield from moco_v3()
    yield simsiam()
    yield from swav()
    yield from barlow_twins()
    yield from vicreg()
    yield from dino()
    yield from dinov2()
    yield from simclr()
    yield from vissl()
    yield from lightly()
    yield from solo_learn()
    yield from mmpretrain()


def moco() -> Iterator[Published]:
    """Row 1: v1 has a linear projector, v2 one of two layers; single-GPU runs lack "module."."""
    heads = {"v1_200ep": linear("fc", 2048, 128), "v2_800ep": linear("fc.0", 2048, 2048) | linear("fc.2", 2048, 128)}
    for version, head in heads.items():
        for module in ("module.", ""):
            keys = {
                **hollow(R50 | head, "encoder_q.", module),
                **hollow(R50 | head, "encoder_k.", module),
                **hollow({"queue": (128, 65536), "queue_ptr": (1,)}, "", module),
            }
            tree = {"epoch": 200, "arch": "resnet50", "state_dict": keys, "optimizer": OPTIMIZER}
            rules = frozenset({"encoder_q.fc.*", "encoder_k.*", "queue", "queue_ptr"})
            yield Published(
                f"moco_{version}_pretrain{'' if module else '_single_gpu'}.pth.tar",
                tree,
                "moco",
                "resnet50",
                len(R50),
                rules,
                ("state_dict",),
                f"{module}encoder_q.",
            )


def moco_v3() -> Iterator[Published]:
    """Row 2."""
    mlp = {**linear("0", 2048, 4096, bias=False), **batch_norm("1", 4096), **linear("3", 4096, 256, bias=False)}
    encoders: dict[str, tuple[Shapes, str, str]] = {
        "r-50-1000ep": (R50, "fc", "resnet50"),
        "vit-s-300ep": (VITS16, "head", "vit_small_patch16"),
        "vit-b-300ep": (VITB16, "head", "vit_base_patch16"),
    }
    for name, (encoder, head, architecture) in encoders.items():
        own = encoder | {f"{head}.{key}": shape for key, shape in mlp.items()}
        keys = {
            **hollow(own, "base_encoder.", "module."),
            **hollow(own, "momentum_encoder.", "module."),
            **hollow(mlp, "predictor.", "module."),
        }
        tree = {"epoch": 300, "arch": "vit_small", "state_dict": keys, "optimizer": OPTIMIZER, "scaler": {}}
        rules = frozenset({f"base_encoder.{head}.*", "momentum_encoder.*", "predictor.*"})
        yield Published(
            f"{name}.pth.tar",
            tree,
            "moco-v3",
            architecture,
            len(encoder),
            rules,
            ("state_dict",),
            "module.base_encoder.",
        )


def simsiam() -> Published:
    """Row 3."""
    projector = {
        **linear("fc.0", 2048, 2048, bias=False),
        **batch_norm("fc.1", 2048),
        **linear("fc.3", 2048, 2048, bias=False),
        **batch_norm("fc.4", 2048),
        **linear("fc.6", 2048, 2048),
        "fc.7.running_mean": (2048,),
    }
    predictor = {**linear("predictor.0", 2048, 512, bias=False), **linear("predictor.3", 512, 2048)}
    keys = {**hollow(R50 | projector, "encoder.", "module."), **hollow(predictor, "", "module.")}
    tree = {"epoch": 100, "arch": "resnet50", "state_dict": keys, "optimizer": OPTIMIZER}
    rules = frozenset({"encoder.fc.*", "predictor.*"})
    return Published(
        "checkpoint_0099.pth.tar", tree, "simsiam", "resnet50", len(R50), rules, ("state_dict",), "module.encoder."
    )


def swav() -> Iterator[Published]:
    """Row 4: flat, or under state_dict; DeepCluster v2 has several sets of prototypes."""
    projector = {**linear("projection_head.0", 2048, 2048), **batch_norm("projection_head.1", 2048)}
    projector |= linear("projection_head.3", 2048, 128)
    prototypes = linear("prototypes", 128, 3000, bias=False)
    several = {f"prototypes.prototypes{i}.weight": (3000, 128) for i in range(3)}
    rules = frozenset({"projection_head.*", "prototypes.*"})
    flat = hollow(R50 | projector | prototypes, "", "module.")
    yield Published("swav_800ep_pretrain.pth.tar", flat, "swav", "resnet50", len(R50), rules)
    flat = hollow(R50 | projector | several, "", "module.")
    yield Published("deepclusterv2_800ep_pretrain.pth.tar", flat, "swav", "resnet50", len(R50), rules)
    tree: dict[str, Any] = {"epoch": 200, "state_dict": hollow(R50 | projector | prototypes, "", "module.")}
    tree |= {"optimizer": OPTIMIZER, "amp": {}}
    yield Published("ckp-199.pth", tree, "swav", "resnet50", len(R50), rules, ("state_dict",))


def barlow_twins() -> Iterator[Published]:
    """Row 5: the backbone alone has nothing that tells it from VICReg's, DINO's or a supervised one."""
    yield Published("resnet50.pth", hollow(R50), "barlow-twins", "resnet50", len(R50), ambiguous=PLAIN)
    projector = {
        **linear("projector.0", 2048, 8192, bias=False),
        **batch_norm("projector.1", 8192),
        **linear("projector.6", 8192, 8192, bias=False),
        "bn.running_mean": (8192,),
        "bn.running_var": (8192,),
        "bn.num_batches_tracked": (),
    }
    keys = {**hollow(R50, "backbone.", "module."), **hollow(projector, "", "module.")}
    tree = {"epoch": 1000, "model": keys, "optimizer": OPTIMIZER}
    rules = frozenset({"projector.*", "bn.*"})
    yield Published("checkpoint.pth", tree, "barlow-twins", "resnet50", len(R50), rules, ("model",), "module.backbone.")


def vicreg() -> Iterator[Published]:
    """Row 6."""
    for name, shapes in {"resnet50": R50, "resnet50x2": R50X2, "resnet200x2": R200X2}.items():
        yield Published(f"{name}.pth", hollow(shapes), "vicreg", name, len(shapes), ambiguous=PLAIN)
        projector = {**linear("projector.0", 2048, 8192), **batch_norm("projector.1", 8192)}
        keys = {**hollow(shapes, "backbone.", "module."), **hollow(projector, "", "module.")}
        tree = {"epoch": 1000, "model": keys, "optimizer": OPTIMIZER}
        rules = frozenset({"projector.*"})
        yield Published(
            f"{name}_fullckpt.pth", tree, "vicreg", name, len(shapes), rules, ("model",), "module.backbone."
        )


def dino() -> Iterator[Published]:
    """Rows 7 and 8: the backbone alone, and student and teacher."""
    backbones: dict[str, tuple[Shapes, str]] = {
        "dino_deitsmall16_pretrain": (VITS16, "vit_small_patch16"),
        "dino_deitsmall8_pretrain": (VITS8, "vit_small_patch8"),
        "dino_vitbase16_pretrain": (VITB16, "vit_base_patch16"),
        "dino_vitbase8_pretrain": (VITB8, "vit_base_patch8"),
        "dino_xcit_small_12_p16_pretrain": (xcit(384, 12, 16), "xcit_small_12_p16"),
        "dino_xcit_small_12_p8_pretrain": (xcit(384, 12, 8), "xcit_small_12_p8"),
        "dino_xcit_medium_24_p16_pretrain": (xcit(512, 24, 16), "xcit_medium_24_p16"),
        "dino_xcit_medium_24_p8_pretrain": (xcit(512, 24, 8), "xcit_medium_24_p8"),
    }
    for name, (shapes, architecture) in backbones.items():
        split = 2 * 2 * 2 if "xcit" in name else 0  # two blocks: weight and bias of qkv become those of q, k and v
        yield Published(f"{name}.pth", hollow(shapes), "dino", architecture, len(shapes) + split)
    yield Published("dino_resnet50_pretrain.pth", hollow(R50), "dino", "resnet50", len(R50), ambiguous=PLAIN)
    # Batch norms put the teacher of a ResNet into DistributedDataParallel as well (main_dino.py).
    for name, shapes, architecture, dim, wrapped in (
        ("dino_resnet50_pretrain", R50, "resnet50", 2048, "module."),
        ("dino_deitsmall16_pretrain", VITS16, "vit_small_patch16", 384, ""),
    ):
        head = dino_head("head", dim)
        tree = {
            "student": {**hollow(shapes, "backbone.", "module."), **hollow(head, "", "module.")},
            "teacher": {**hollow(shapes, "backbone.", wrapped), **hollow(head, "", wrapped)},
            "optimizer": OPTIMIZER,
            "epoch": 800,
            "args": {"arch": architecture},
            "dino_loss": hollow({"center": (1, 65536)}),
        }
        yield Published(
            f"{name}_full_checkpoint.pth",
            tree,
            "dino-full",
            architecture,
            len(shapes),
            frozenset({"head.*"}),
            ("teacher",),
            f"{wrapped}backbone.",
        )


def dinov2() -> Iterator[Published]:
    """Row 9: 518 pixels, that is 37 x 37 patches; training has the teacher among others."""
    sizes = {
        "s": ("small", 384, 12, 0),
        "b": ("base", 768, 12, 0),
        "l": ("large", 1024, 24, 0),
        "g": ("", 1536, 40, 4096),
    }
    for letter, (size, dim, depth, gated) in sizes.items():
        for registers in (0, 4):
            shapes = vit(dim, depth, 14, tokens=1370, registers=registers, scaled=True, gated=gated)
            end = f"_reg{registers}" if registers else ""
            architecture = f"vit_{size or f'{dim}x{depth}'}_patch14{end}"
            yield Published(
                f"dinov2_vit{letter}14{end}_pretrain.pth",
                hollow({**shapes, "mask_token": (1, dim)}),
                "dinov2",
                architecture,
                len(shapes),
                frozenset({"mask_token"}),
            )
    shapes = vit(384, 12, 14, tokens=1370, scaled=True)
    keys = {
        **hollow({**shapes, "mask_token": (1, 384)}, "teacher.backbone."),
        **hollow(dino_head("dino_head", 384), "teacher."),
        **hollow(dino_head("ibot_head", 384), "teacher."),
        **hollow({**shapes, "mask_token": (1, 384)}, "student.backbone."),
        **hollow({"dino_loss.center": (1, 65536), "ibot_patch_loss.center": (1, 1, 65536)}),
    }
    tree = {"model": keys, "optimizer": OPTIMIZER, "iteration": 624999}
    rules = {"teacher.backbone.mask_token", "teacher.dino_head.*", "teacher.ibot_head.*", "student.*"}
    rules |= {"dino_loss.*", "ibot_patch_loss.*"}
    yield Published(
        "model_final.rank_0.pth",
        tree,
        "dinov2-training",
        "vit_small_patch14",
        len(shapes),
        frozenset(rules),
        ("model",),
        "teacher.backbone.",
    )


def simclr() -> Iterator[Published]:
    """Rows 10 and 11: v1 is a supervised file by its keys, but its images are not normalised."""
    for name, shapes, dim in (("1x", R50, 2048), ("2x", R50X2, 4096), ("4x", R50X4, 8192)):
        tree = {"state_dict": hollow(shapes | linear("fc", dim, 1000))}
        architecture = "resnet50" if name == "1x" else f"resnet50x{name[0]}"
        yield Published(
            f"resnet50-{name}.pth",
            tree,
            "simclr-v1",
            architecture,
            len(shapes),
            frozenset({"fc.*"}),
            ("state_dict",),
            ambiguous=frozenset({"simclr-v1", "torchvision"}),
        )
    for selective, layout in ((False, "simclr-v2"), (True, "simclr-v2-selective")):
        shapes = simclr_v2((3, 4, 6, 3), selective=selective)
        head = {f"layers.{i}.weight": (2048, 2048) for i in (0, 3)}
        tree = {"resnet": hollow(shapes), "head": hollow(head)}
        yield Published(
            f"r50_1x_sk{int(selective)}.pth",
            tree,
            layout,
            f"resnet50{' with selective kernels' if selective else ''}",
            len(shapes) - 2,
            frozenset({"fc.*"}),
            ("resnet",),
        )


def vissl() -> Iterator[Published]:
    """Row 13: three places for the trunk; heads lie beside it."""
    trunk = hollow(R50, "_feature_blocks.")
    model = {"trunk": trunk, "heads": hollow({"0.clf.0.weight": (2048, 2048)}), "meta": {}}
    trees: dict[tuple[str, ...], dict[str, Any]] = {
        ("classy_state_dict", "base_model", "model", "trunk"): {
            "phase_idx": 799,
            "iteration": 250000,
            "classy_state_dict": {"base_model": {"model": model}, "optimizer": OPTIMIZER, "train": True},
        },
        ("model_state_dict",): {"model_state_dict": trunk},
        (): trunk,
    }
    for containers, tree in trees.items():
        name = f"model_final_checkpoint_phase799_{len(containers)}.torch"
        yield Published(name, tree, "vissl", "resnet50", len(R50), frozenset(), containers, "_feature_blocks.")


def lightly() -> Iterator[Published]:
    """Row 14: seven methods; what MoCo and DINO call backbone is the encoder that they evaluate."""
    mlp = {
        **linear("layers.0", 2048, 2048, bias=False),
        **batch_norm("layers.1", 2048),
        **linear("layers.3", 2048, 128),
    }
    head = {f"projection_head.{name}": shape for name, shape in mlp.items()}
    copies = {
        who: {f"{who}_backbone.{name}": shape for name, shape in R50.items()}
        | {f"{who}_projection_head.{name}": shape for name, shape in mlp.items()}
        for who in ("student", "teacher", "query")
    }
    methods: dict[str, tuple[Shapes, set[str]]] = {
        "simclr_2023-06-22": ({}, set()),
        "swav_2023-05-25": (
            {"prototypes.heads.0.weight": (3000, 128), "queues.0.bank": (128, 3840), "queues.0.bank_ptr": (1,)},
            {"prototypes.*", "queues.*"},
        ),
        "mocov2_2024-02-18": (
            copies["query"] | {"criterion.memory_bank.bank": (128, 65536), "criterion.memory_bank.bank_ptr": (1,)},
            {"query_*", "criterion.*"},
        ),
        "byol_2024-02-14": (
            copies["teacher"] | {f"prediction_head.{name}": shape for name, shape in mlp.items()},
            {"teacher_*", "prediction_head.*"},
        ),
        "dino_2023-06-06": (copies["student"] | {"criterion.center": (1, 1, 65536)}, {"student_*", "criterion.*"}),
        "barlowtwins_2023-08-18": ({}, set()),
        "vicreg_2023-09-11": ({}, set()),
    }
    for name, (others, rules) in methods.items():
        rest = {**head, **others, **linear("online_classifier.linear", 2048, 1000)}
        keys = {**hollow(R50, "backbone."), **hollow(rest)}
        tree = {
            "epoch": 99,
            "global_step": 500400,
            "pytorch-lightning_version": "2.0.2",
            "state_dict": keys,
            "hyper_parameters": {"batch_size": 128, "num_classes": 1000},
        }
        all_rules = frozenset(rules | {"projection_head.*", "online_classifier.*"})
        yield Published(f"{name}.ckpt", tree, "lightly", "resnet50", len(R50), all_rules, ("state_dict",), "backbone.")


def solo_learn() -> Iterator[Published]:
    """Row 15: CIFAR nets have another stem, and other images; old ones say encoder."""
    rest: Shapes = {
        **linear("classifier", 512, 10),
        **linear("projector.0", 512, 2048),
        **linear("predictor.0", 256, 4096),
        **linear("momentum_projector.0", 512, 2048),
        **{f"momentum_backbone.{name}": shape for name, shape in R18.items()},
        "queue": (2, 256, 65536),
        "queue_ptr": (1,),
    }
    rules = frozenset({"momentum_*", "projector.*", "predictor.*", "classifier.*", "queue*"})
    stem = "resnet18 with the stem of solo-learn-cifar"
    for file, encoder, prefix, layout, architecture in (
        ("mocov2plus-cifar10.ckpt", cifar_resnet18(), "backbone.", "solo-learn-cifar", stem),
        ("byol-cifar100-old.ckpt", cifar_resnet18(), "encoder.", "solo-learn-cifar", stem),
        ("byol-imagenet100.ckpt", R18, "backbone.", "solo-learn", "resnet18"),
        ("byol-imagenet100-old.ckpt", R18, "encoder.", "solo-learn", "resnet18"),
    ):
        keys = {**hollow(encoder, prefix), **hollow(rest)}
        tree = {"epoch": 999, "global_step": 195000, "state_dict": keys, "optimizer_states": [OPTIMIZER]}
        yield Published(file, tree, layout, architecture, len(encoder), rules, ("state_dict",), prefix)


def mmpretrain() -> Iterator[Published]:
    """Row 16: with the prefix, or already stripped."""
    neck = {**linear("neck.fc0", 2048, 2048, bias=False), **batch_norm("neck.bn0", 2048), **linear("head.fc", 128, 2)}
    for name, prefix, rest, rules in (
        ("simclr_resnet50_16xb256-coslr-200e_in1k_20220825-4d9cce50.pth", "backbone.", neck, {"neck.*", "head.*"}),
        ("simclr_resnet50_16xb256-coslr-200e_in1k_backbone.pth", "", {}, set()),
    ):
        tree = {"meta": {"epoch": 200}, "state_dict": {**hollow(R50, prefix), **hollow(rest)}}
        layout = "mmpretrain"
        yield Published(name, tree, layout, "resnet50", len(R50), frozenset(rules), ("state_dict",), prefix)


def quick(rows: tuple[Published, ...]) -> tuple[Published, ...]:
    """The first row of each layout, place in the tree, prefix and kind of architecture."""
    kinds: dict[tuple[object, ...], Published] = {}
    for row in rows:
        kind = re.sub(r"(resnet)\d+|_.*(?=_reg)|_.*", r"\1", row.architecture)  # without depth and patch
        kinds.setdefault((row.layout, row.containers, row.prefix, kind), row)
    return tuple(kinds.values())


ROWS = tuple(published())
QUICK = quick(ROWS)
