//! Networks whose tensors have other names than torchvision's, as in timm: their tensors are brought into the order in
//! which the layers run, and meet the network's parameters in that order.
//!
//! A file sorts its tensors by name, or holds them as the modules were made. Here each part of a name has its rank
//! among its kin: `blocks.2.1.conv_pw.weight` comes before `blocks.2.1.bn1.weight`.
//!
//! Sources: the state dictionaries of timm 1.0 (`efficientnet.py`, `mobilenetv3.py`, `convnext.py`, `vgg.py`) and of
//! efficientnet-pytorch 0.7.

use std::collections::BTreeSet;

struct Family {
    /// The parts that a name begins with.
    top: &'static [&'static str],
    /// All parts further in.
    inner: &'static [&'static str],
}

const FAMILIES: [Family; 4] = [
    // EfficientNet, MobileNet v2 and v3.
    Family {
        top: &["conv_stem", "bn1", "blocks", "conv_head", "norm_head", "bn2", "classifier"],
        inner: &[
            "conv",
            "conv_exp",
            "conv_pw",
            "bn1",
            "conv_dw",
            "bn2",
            "se",
            "conv_reduce",
            "conv_expand",
            "conv_pwl",
            "bn3",
        ],
    },
    Family {
        top: &["_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1", "_fc"],
        inner: &[
            "_expand_conv",
            "_bn0",
            "_depthwise_conv",
            "_bn1",
            "_se_reduce",
            "_se_expand",
            "_project_conv",
            "_bn2",
        ],
    },
    // ConvNeXt.
    Family {
        top: &["stem", "stages", "head"],
        inner: &["downsample", "blocks", "conv_dw", "norm", "mlp", "fc1", "fc2", "gamma", "fc"],
    },
    // VGG.
    Family { top: &["features", "pre_logits", "head"], inner: &["fc1", "fc2", "fc"] },
];

// A block that does not widen runs in another order: depthwise first.
const SEPARABLE: [&str; 7] = ["conv_dw", "bn1", "se", "conv_reduce", "conv_expand", "conv_pw", "bn2"];
const LEAVES: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// The order in which the layers of these tensors run, as places in the list; `None` if they are of no known family.
pub(super) fn order(names: &[&str]) -> Option<Vec<usize>> {
    let all: BTreeSet<&str> = names.iter().copied().collect();
    FAMILIES.iter().find_map(|family| {
        let ranks: Option<Vec<Vec<usize>>> = names.iter().map(|name| family.rank(name, &all)).collect();
        let ranks = ranks?;
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|a, b| ranks[*a].cmp(&ranks[*b]));
        Some(order)
    })
}

impl Family {
    fn rank(&self, name: &str, all: &BTreeSet<&str>) -> Option<Vec<usize>> {
        let mut rank = Vec::new();
        let mut at = 0;
        for part in name.split('.') {
            let place = |list: &[&str]| list.iter().position(|known| *known == part);
            // Numbers never stand beside names.
            let own = part.parse().ok().or_else(|| match at {
                0 => place(self.top),
                _ if is_separable(&name[..at], all) => place(&SEPARABLE).or_else(|| place(&LEAVES)),
                _ => place(self.inner).or_else(|| place(&LEAVES)),
            });
            rank.push(own?);
            at += part.len() + 1;
        }
        Some(rank)
    }
}

// Whether the block that a name begins with is timm's depthwise separable one.
fn is_separable(start: &str, all: &BTreeSet<&str>) -> bool {
    let mut parts = start.split('.');
    let (Some("blocks"), Some(stage), Some(block)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let has = |layer: &str| all.contains(format!("blocks.{stage}.{block}.{layer}.weight").as_str());
    has("conv_dw") && has("conv_pw") && !has("conv_pwl")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
        order(names).unwrap().into_iter().map(|i| names[i]).collect()
    }

    #[test]
    fn timm_names_come_into_the_order_of_running() {
        let run = [
            "conv_stem.weight",
            "bn1.weight",
            "bn1.running_mean",
            "blocks.0.0.conv_dw.weight",
            "blocks.0.0.bn1.weight",
            "blocks.0.0.se.conv_reduce.weight",
            "blocks.0.0.conv_pw.weight",
            "blocks.0.0.bn2.weight",
            "blocks.2.0.conv_pw.weight",
            "blocks.2.0.bn1.weight",
            "blocks.2.0.conv_dw.weight",
            "blocks.2.0.conv_pwl.weight",
            "blocks.10.0.conv_pw.weight",
            "blocks.10.0.conv_pwl.weight",
            "conv_head.weight",
            "classifier.weight",
            "classifier.bias",
        ];
        let mut alphabetical = run;
        alphabetical.sort_unstable();
        assert_eq!(sorted(&alphabetical), run);
        assert_eq!(
            sorted(&["head.fc.weight", "stages.0.blocks.0.gamma", "stem.0.weight", "stages.0.blocks.0.conv_dw.bias"])
                [2],
            "stages.0.blocks.0.gamma"
        );
        assert!(order(&["conv_stem.weight", "something.else"]).is_none());
    }
}
