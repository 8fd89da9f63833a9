//! `striate explain` and `striate museum` from the outside: text, numbers, pictures, and one clear error for bad input.

mod common;

use common::{Folder, json, text};
use serde_json::json as value;

fn read(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn each_explanation_teaches_without_an_argument() {
    let folder = Folder::new();
    for (args, parts) in [
        (
            &["conv"][..],
            &[
                "y(0, 0) = 1·1 + 2·0 + 0·2 + 1·(-1) + 1 = 1",
                "floor((4 + 0 + 0 - 2) / 1) + 1 = 3",
                "with the flip: convolution",
            ][..],
        ),
        (&["pool"], &["x[0, 2] ~ [1, 3]", "y(0, 0) = max(1, 2, 0, 1) = 2 at x(0, 1)"]),
        (&["im2col"], &["col = im2col(x)  9x4", "y = col W + b  9x1"]),
        (&["col2im"], &["dx(0, 1) = dcol[0, 1] + dcol[1, 0] = 0 + 1 = 1", "if it overwrote"]),
        (&["backward", "conv"], &["dx(0, 0) = 1·1 = 1", "by differences", "All gradients lie between"]),
        (&["backward", "pool"], &["All gradients lie between"]),
        (
            &["shapes", "keras-mnist"],
            &["floor((7 + 0 + 0 - 2) / 2) + 1 = 3", "the floor drops the last row and the last column"],
        ),
        (&["receptive-field", "simple-convnet"], &["r = 1 + (5 - 1)·1 = 5", "sees 6x6 of 28x28"]),
    ] {
        let out = folder.ok(&[&["explain"], args].concat());
        for part in parts {
            assert!(out.contains(part), "'{part}' is not in:\n{out}");
        }
        assert!(out.lines().all(|l| l.chars().count() <= 80), "{args:?} is wider than 80 columns:\n{out}");
        assert!(!out.contains('\u{1b}'), "no colour is needed");
    }
}

#[test]
fn matrices_come_as_text_and_as_files() {
    let folder = Folder::new();
    let y = |args: &[&str]| json(&folder.ok(&[&["explain", "conv", "--json"], args].concat()))["y"].clone();
    let want = value!([[[5.0, 5.0], [5.0, 5.0]]]);
    assert_eq!(y(&["--x", "1 2 3; 4 5 6; 7 8 9", "--w", "-1 0; 0 1", "--bias", "1"]), want);
    assert_eq!(y(&["--x", "1,2,3/4,5,6/7,8,9", "--w", "-1,0/0,1", "--bias", "1"]), want);
    folder.write("x.csv", "1,2,3\n4,5,6\n7,8,9\n");
    folder.write("w.txt", "-1 0\n0 1\n");
    assert_eq!(y(&["--x", "x.csv", "--w", "w.txt", "--bias", "1"]), want);
    use striate::format::npy::{Array, Numbers};
    let array = |dims: &[usize], data: Vec<f32>| Array::new(dims, Numbers::F32(data)).unwrap().to_bytes();
    folder.write("x.npy", array(&[3, 3], (1..=9).map(|v| v as f32).collect()));
    // Two kernels of a layer: [kh, kw, ic, oc].
    folder.write("w.npy", array(&[2, 2, 1, 2], vec![-1., 0., 0., 0., 0., 0., 1., 1.]));
    let two = value!([[[5.0, 5.0], [5.0, 5.0]], [[5.0, 6.0], [8.0, 9.0]]]);
    assert_eq!(y(&["--x", "x.npy", "--w", "w.npy", "--bias", "1,0"]), two);
    // Channels apart by a bar, or by an empty line in a file.
    folder.write("two.txt", "1 2\n3 4\n\n5 6\n7 8\n");
    assert_eq!(y(&["--x", "two.txt", "--w", "1 | 10"]), y(&["--x", "1 2; 3 4 | 5 6; 7 8", "--w", "1|10"]));
}

#[test]
fn the_numbers_are_there_for_scripts() {
    let folder = Folder::new();
    let all = json(&folder.ok(&["explain", "conv", "--json", "--padding", "same", "--stride", "2"]));
    assert_eq!(all["formulas"][0], "floor((4 + 0 + 0 - 2) / 2) + 1 = 2");
    assert_eq!(all["cells"].as_array().unwrap().len(), 4);
    let cell = json(&folder.ok(&["explain", "conv", "--json", "--cell", "1,2"]));
    assert_eq!((cell["cells"][0]["at"].clone(), cell["cells"].as_array().unwrap().len()), (value!([1, 2]), 1));
    assert_eq!(cell["cells"][0]["terms"][3]["product"], -1.0);
    let pool = json(&folder.ok(&["explain", "pool", "--json"]));
    assert_eq!(
        (pool["y"].clone(), pool["cells"][0]["winner"].clone()),
        (value!([[[2.0, 3.0], [4.0, 2.0]]]), value!([0, 1]))
    );
    assert_eq!(json(&folder.ok(&["explain", "im2col", "--json"]))["col"].as_array().unwrap().len(), 9);
    assert_eq!(json(&folder.ok(&["explain", "col2im", "--json"]))["summands"][5].as_array().unwrap().len(), 4);
    let back = json(&folder.ok(&["explain", "backward", "conv", "--json"]));
    assert!(
        back["gradients"].as_array().unwrap().iter().all(|g| g["agrees"] == true && g["error"].as_f64() < Some(1e-6))
    );
    let shapes = json(&folder.ok(&["explain", "shapes", "--in", "7,7,3", "--kernel", "2", "--stride", "2", "--json"]));
    assert_eq!(shapes["layers"][0]["dropped"], value!([1, 1]));
    let field = json(&folder.ok(&["explain", "receptive-field", "keras-mnist", "conv2d_1", "--json"]));
    assert_eq!(field["steps"][2]["after"][0], value!([8.0, 2.0]));
}

#[test]
fn pictures_are_drawn_and_those_that_can_move_do() {
    let folder = Folder::new();
    for what in [&["conv"][..], &["pool"], &["im2col"], &["col2im"], &["backward", "conv"], &["backward", "pool"]] {
        let draw = |file: &str| folder.ok(&[&["explain"], what, &["--draw", file]].concat());
        assert!(draw("a.svg").contains("it moves"));
        let svg = text(&read(&folder, "a.svg"));
        assert!(svg.contains("@keyframes") && svg.trim_end().ends_with("</svg>"), "{what:?}");
        draw("a.gif");
        assert_eq!(&read(&folder, "a.gif")[..6], b"GIF89a");
        draw("a.png");
        assert_eq!(&read(&folder, "a.png")[1..4], b"PNG");
    }
    folder.ok(&["explain", "conv", "--cell", "1,1", "--draw", "one.svg"]);
    let svg = text(&read(&folder, "one.svg"));
    assert!(!svg.contains("@keyframes") && svg.contains("y(1, 1)"));
    for args in
        [&["shapes", "alexnet"][..], &["shapes", "--in", "9,9", "--kernel", "3"], &["receptive-field", "vgg-16"]]
    {
        folder.ok(&[&["explain"], args, &["--draw", "b.svg"]].concat());
        assert!(text(&read(&folder, "b.svg")).contains("</svg>"), "{args:?}");
    }
}

#[test]
fn bad_input_gets_one_error_that_says_what_would_fit() {
    let folder = Folder::new();
    for (args, part) in [
        (&["conv", "--x", "1 2; 3"][..], "ragged rows: row 1 has 1 number, row 0 has 2"),
        (&["conv", "--x", "1 nan; 3 4"], "'nan' in row 0 is not a finite number"),
        (&["conv", "--x", "photo.npy"], "or give a file that exists"),
        (&["conv", "--w", "1 2 3 4 5"], "use a kernel of at most 4"),
        (&["conv", "--stride", "0"], "stride 0 along the height"),
        (&["conv", "--padding", "some"], "is not a padding"),
        (&["conv", "--pad-value", "nan"], "padding value NaN"),
        (&["conv", "--w", "1 | 2"], "a kernel has 2 channels, the input 1"),
        (&["conv", "--bias", "1,2"], "2 biases for 1 kernels"),
        (&["conv", "--groups", "2"], "groups"),
        (&["conv", "--cell", "5,0"], "the output is 3x3x1"),
        (&["conv", "--cell", "0,0", "--draw", "a.gif"], "one step does not move"),
        (&["conv", "--draw", "a.bmp"], "end the name in"),
        (&["pool", "--window", "5"], "larger than the padded input"),
        (&["pool", "--padding", "2"], "wholly in the padding"),
        (&["backward", "conv", "--dy", "1 2"], "the output is 3x3x1"),
        (&["im2col", "--dy", "1"], "col2im takes it"),
        (&["shapes", "--in", "4,4", "--kernel", "9"], "use a kernel of at most 4"),
        (&["shapes", "kera-mnist"], "did you mean 'keras-mnist'?"),
        (&["receptive-field", "keras-mnist", "flatten"], "sees all of the image"),
    ] {
        let (code, message) = folder.fails(&[&["explain"], args].concat());
        assert!(code == 1 || code == 2, "{args:?}: {code}");
        assert!(message.contains(part), "{args:?}: '{part}' is not in: {message}");
    }
    let many = vec![vec!["1"; 60].join(" "); 60].join(";");
    let (_, message) = folder.fails(&["explain", "conv", "--x", &many, "--draw", "a.gif"]);
    assert!(message.contains("too long to watch") && message.contains("at most 400"), "{message}");
}

#[test]
fn the_museum_shows_its_exhibits() {
    let folder = Folder::new();
    let list = folder.ok(&["museum"]);
    for id in ["D1", "D2", "D3", "D4", "D5", "quarter", "overwrite"] {
        assert!(list.contains(id), "{list}");
    }
    assert_eq!(json(&folder.ok(&["museum", "--json"])).as_array().unwrap().len(), 7);
    let one = folder.ok(&["museum", "d4", "--updates", "12", "--draw", "d4.svg"]);
    for part in [
        "D4: a col2im that returns zeros",
        "W1               100.0 %   WRONG",
        "the filters moved by 0.0 %",
        "The lesson",
    ] {
        assert!(one.contains(part), "'{part}' is not in:\n{one}");
    }
    assert!(text(&read(&folder, "d4.svg")).contains("% right"));
    let numbers = json(&folder.ok(&["museum", "D1", "--updates", "3", "--json"]));
    assert_eq!(numbers[0]["wrong"]["loss"].as_array().unwrap().len(), 3);
    assert!(folder.fails(&["museum", "D7"]).1.contains("known: D1"));
    assert!(folder.fails(&["museum", "D1", "--updates", "0"]).1.contains("--updates"));
}
