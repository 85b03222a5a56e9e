"""Vision: pictures, augmentation, image models, transfer learning, and interpretation."""

from __future__ import annotations

from typing import Any

from lab import hookimpl, preset


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Pictures."""
    return {
        "cifar10": "lab_vision.sources:cifar10",
        "digit_sets": "lab_vision.sources:digit_sets",
        "digits": "lab_vision.sources:digits",
        "dogs_cats": "lab_vision.sources:dogs_cats",
        "fashion_mnist": "lab_vision.sources:fashion_mnist",
        "features": "lab_vision.transfer:features",
        "image_folder": "lab_vision.sources:image_folder",
        "image_table": "lab_vision.tables:image_table",
    }


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """Public image datasets, and published weights."""
    return {
        "cifar10": "lab_vision.sources:cifar10_corpus",
        "dogs_cats": "lab_vision.sources:dogs_cats_corpus",
        "fashion_mnist": "lab_vision.sources:fashion_mnist_corpus",
        "resnet18": "lab_vision.resnet:resnet18_corpus",
        "resnet34": "lab_vision.resnet:resnet34_corpus",
        "resnet50": "lab_vision.resnet:resnet50_corpus",
        "vgg19": "lab_vision.vgg:vgg19_corpus",
    }


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Image models: the course's networks, the book's classics, residual networks, transfer learning."""
    ladder = {"stem": 5, "norm": "written", "plain_stem": True, "conv_bias": False}
    return {
        # the ladder of fast.ai 2018, lesson 7
        "simple_net": preset("softmax", layers=[40]),
        "conv_net": preset("course_net", padding=False),
        "conv_net2": preset("course_net"),
        "bn_net": preset("course_net", widths=[10, 20, 40, 80, 160], **ladder),
        "conv_bn_net2": preset("course_net", widths=[10, 20, 40, 80, 160], further=1, **ladder),
        "resnet_small": preset("course_net", widths=[10, 20, 40, 80, 160], further=2, residual=True, **ladder),
        "resnet2": preset(
            "course_net",
            widths=[16, 32, 64, 128, 256],
            further=2,
            residual=True,
            dropout=0.2,
            **{**ladder, "stem": 7, "stem_padding": 1},
        ),
        "course_net": "lab_vision.models:CourseNet",
        "fast_resnet": preset(
            "course_net",
            widths=[32, 64, 128, 256],
            further=1,
            residual=True,
            stem=3,
            norm="batch",
            norm_place="before",
            pool="concat",
        ),
        # the classics of Dive into Deep Learning
        "alexnet": "lab_vision.classics:alexnet",
        "densenet": "lab_vision.classics:densenet",
        "googlenet": "lab_vision.classics:googlenet",
        "image_mlp": preset("softmax", layers=[256]),
        "lenet": "lab_vision.models:LeNet",
        "lenet_bn": preset("lenet", norm="batch"),
        "nin": "lab_vision.classics:nin",
        "softmax": "lab_vision.models:SoftmaxRegression",
        "vgg": "lab_vision.classics:vgg",
        # residual networks
        "resnet": "lab_vision.resnet:ResNet",
        "resnet18": preset("resnet", blocks=[2, 2, 2, 2]),
        "resnet34": preset("resnet", blocks=[3, 4, 6, 3]),
        "resnet50": preset("resnet", blocks=[3, 4, 6, 3], bottleneck=True),
        "vgg19": "lab_vision.vgg:VGG",
        # transfer
        "conv_head": "lab_vision.conv_head:ConvHead",
        "head": "lab_vision.transfer:Head",
        "logits_head": "lab_vision.transfer:LogitsHead",
        "transfer": "lab_vision.transfer:Transfer",
    }


@hookimpl
def lab_steppers() -> dict[str, Any]:
    """Training steps on mixed pictures."""
    return {"cut_mix": "lab_vision.augment:CutMix", "mix_up": "lab_vision.augment:MixUp"}


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Augmentation, and plots of what a model has learned."""
    return {
        "augment": "lab_vision.augment:Augment",
        "kornia": "lab_vision.kornia_augment:KorniaAugment",
        "look_inside": "lab_vision.callbacks:LookInside",
    }


@hookimpl
def lab_predictors() -> dict[str, str]:
    """Prediction of folders of pictures, for ``lab predict``."""
    return {"pictures": "lab_vision.predict:PicturePredictor"}


@hookimpl
def lab_run_finished(run: Any, result: Any) -> None:
    """Store with the run what its pictures are like."""
    if result.status == "finished" and hasattr(run.data, "picture_fit"):
        from lab_vision.predict import keep_preparation

        keep_preparation(run, result.folder)


@hookimpl
def lab_former_names() -> dict[str, str]:
    """Parameters that were renamed."""
    return {
        "cifar10.longest": "max_examples",
        "fashion_mnist.longest": "max_examples",
        "image_folder.grey": "gray",
    }


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.cam(...)``, ``learner.tta()`` and other methods of interpretation."""
    inside = ("cam", "confusion_matrix", "first_filters", "grad_cam", "largest_losses")
    return {
        "class_maps": "lab_vision.conv_head:class_maps",
        "tta": "lab_vision.augment:tta",
        "zoom": "lab_vision.zoom:zoom",
        **{name: f"lab_vision.inside:{name}" for name in inside},
    }


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Confusions, largest losses, activation maps and filters."""
    from lab_vision.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_vision.conformance:support"
