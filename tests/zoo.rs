//! The zoo against published numbers, and every network of it at work on a small input.

use striate::{Graph, zoo};

/// Trainable parameters as their authors, torchvision or Keras publish them; see each network's file.
const PARAMETERS: [(&str, usize); 25] = [
    ("keras-mnist", 93_322),
    ("simple-convnet", 433_890),
    ("residual-mnist", 28_698 - 2 * 144),
    ("alexnet", 60_965_224),
    ("alexnet-ungrouped", 62_378_344),
    ("vgg-11", 132_863_336),
    ("vgg-13", 133_047_848),
    ("vgg-16", 138_357_544),
    ("vgg-19", 143_667_240),
    ("vgg-11-bn", 132_868_840),
    ("vgg-13-bn", 133_053_736),
    ("vgg-16-bn", 138_365_992),
    ("vgg-19-bn", 143_678_248),
    ("resnet-18", 11_689_512),
    ("resnet-34", 21_797_672),
    ("resnet-50", 25_557_032),
    ("resnet-101", 44_549_160),
    ("resnet-152", 60_192_808),
    ("plain-34", 21_797_672 - SHORTCUTS),
    ("squeezenet-1.0", 1_248_424),
    ("squeezenet-1.1", 1_235_496),
    ("mobilenet-v1", 4_231_976),
    ("mobilenet-v2", 3_504_872),
    ("densenet-121", 7_978_856),
    ("efficientnet-lite0", 4_652_008),
];

// The three 1x1 convolutions of ResNet-34's shortcuts, with their normalisations.
const SHORTCUTS: usize = (64 * 128 + 2 * 128) + (128 * 256 + 2 * 256) + (256 * 512 + 2 * 512);

fn count(graph: &Graph, trainable: bool) -> usize {
    let specs = graph.nodes().iter().flat_map(|n| graph.params(n));
    specs.filter(|p| p.trainable == trainable).map(|p| p.len()).sum()
}

#[test]
fn parameters_are_the_published_ones() {
    let mut left: Vec<(&str, usize)> = PARAMETERS.to_vec();
    for entry in zoo::entries() {
        let at = left.iter().position(|(name, _)| *name == entry.name).unwrap_or_else(|| panic!("{}", entry.name));
        let (_, expect) = left.remove(at);
        let found = count(&zoo::recipe(entry.name).unwrap().graph, true);
        assert_eq!(found, expect, "{}", entry.name);
    }
}
