//! A graph as a document, a table of plain values, as TOML and model files hold it.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result, unknown};
use crate::graph::{Graph, Head, Value};
use crate::ops::Op;
use crate::tensor::Shape;

impl Graph {
    /// The graph as a document: `name`, `input`, and a list `layer` of the ops with their names.
    ///
    /// `heads` is a list of `{ layer, weight }`, if there are any; `output` names the output, if it is not the last
    /// layer that no other uses.
    ///
    /// # Errors
    /// The graph holds a custom op.
    pub fn to_document(&self) -> Result<Json> {
        let mut layers = Vec::new();
        for (i, node) in self.nodes.iter().enumerate().skip(1) {
            let mut fields = node.op.to_fields()?;
            fields.insert("name".into(), json!(node.name));
            if node.inputs != [Value(i - 1)] {
                let names: Vec<&str> = node.inputs.iter().map(|v| self.node(*v).name.as_str()).collect();
                fields.insert("inputs".into(), json!(names));
            }
            layers.push(Json::Object(fields));
        }
        let mut document = json!({ "name": self.name, "input": self.input_shape()?, "layer": layers });
        if let Some(output) = self.output.filter(|o| self.default_output().ok() != Some(*o)) {
            document["output"] = json!(self.node(output).name);
        }
        if !self.heads.is_empty() {
            let head = |h: &Head| json!({ "layer": self.node(h.value).name, "weight": h.weight });
            document["heads"] = self.heads.iter().map(head).collect();
        }
        Ok(document)
    }

    /// The graph of a document, as [`Graph::to_document`] makes it.
    ///
    /// A layer without `inputs` uses the layer before it; a layer without `name` is named as Keras would.
    ///
    /// # Errors
    /// A field is unknown, missing or wrong, or the shapes do not fit; the layer is named.
    pub fn from_document(mut document: Map<String, Json>) -> Result<Self> {
        let name = match document.remove("name") {
            Some(Json::String(name)) => name,
            None => "network".into(),
            Some(other) => return Err(Error::argument(format!("`name` must be a text, not {other}"))),
        };
        let input = document.remove("input").ok_or_else(|| {
            Error::argument(format!("network '{name}' has no `input`")).with_help("such as input = [28, 28, 1]")
        })?;
        let input: Shape = serde_json::from_value(input).map_err(|e| Error::argument(format!("`input`: {e}")))?;
        let layers = match document.remove("layer") {
            Some(Json::Array(layers)) if !layers.is_empty() => layers,
            _ => {
                return Err(
                    Error::argument(format!("network '{name}' has no layers")).with_help("add [[layer]] entries")
                );
            }
        };
        let (heads, output) = (document.remove("heads"), document.remove("output"));
        if let Some(key) = document.keys().next() {
            let known = ["name", "input", "layer", "heads", "output", "labels", "preprocess", "train"];
            return Err(unknown("entry", key, known));
        }
        let mut graph = Self::new(name);
        graph.input(input)?;
        for (i, layer) in layers.into_iter().enumerate() {
            graph.add_document(layer).map_err(|e| e.within(format_args!("[[layer]] number {}", i + 1)))?;
        }
        graph.add_outputs(heads, output)?;
        Ok(graph)
    }

    fn add_outputs(&mut self, heads: Option<Json>, output: Option<Json>) -> Result<()> {
        let heads: Vec<HeadEntry> = heads.map_or(Ok(Vec::new()), serde_json::from_value).map_err(|e| {
            Error::argument(format!("`heads`: {e}")).with_help("such as heads = [{ layer = \"aux1\", weight = 0.3 }]")
        })?;
        heads.iter().try_for_each(|h| self.add_head(self.value(&h.layer)?, h.weight))?;
        match output {
            None => self.output().map(|_| ()),
            Some(Json::String(name)) => self.set_output(self.value(&name)?),
            Some(other) => Err(Error::argument(format!("`output` must be the name of a layer, not {other}"))),
        }
    }

    fn add_document(&mut self, layer: Json) -> Result<Value> {
        let Json::Object(mut fields) = layer else {
            return Err(Error::argument("a layer is a table of fields, such as op = \"dense\", units = 10"));
        };
        let name = fields.remove("name");
        let inputs = match fields.remove("inputs") {
            None => vec![Value(self.nodes.len() - 1)],
            Some(names) => {
                let names: Vec<String> = serde_json::from_value(names)
                    .map_err(|_| Error::argument("`inputs` must be a list of layer names"))?;
                names.iter().map(|name| self.value(name)).collect::<Result<_>>()?
            }
        };
        let op = Op::from_fields(fields)?;
        match name {
            None => self.add(op, &inputs),
            Some(Json::String(name)) => self.add_named(name, op, &inputs),
            Some(other) => Err(Error::argument(format!("a layer's `name` must be a text, not {other}"))),
        }
    }
}

// An entry of `heads` in a document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadEntry {
    layer: String,
    weight: f32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::with_a_head;
    use crate::ops::{Add, Conv2D, Dense, Flatten, Pool2D};

    #[test]
    fn document_round_trip_keeps_names_and_branches() {
        let mut g = Graph::new("branches");
        let x = g.input([8, 8, 4]).unwrap();
        let a = g.add_named("left", Conv2D::new(4, 1), &[x]).unwrap();
        let s = g.add(Add::new(), &[a, x]).unwrap();
        let p = g.add(Pool2D::max(2), &[s]).unwrap();
        let f = g.add(Flatten::new(), &[p]).unwrap();
        g.add(Dense::new(3), &[f]).unwrap();
        let Json::Object(document) = g.to_document().unwrap() else { panic!("not a table") };
        let back = Graph::from_document(document.clone()).unwrap();
        assert_eq!(back.to_document().unwrap(), Json::Object(document));
        assert!(!back.is_sequential());
    }

    #[test]
    fn heads_and_output_go_through_a_document() {
        let (mut g, end, aux) = with_a_head();
        let plain = g.to_document().unwrap();
        assert!(plain.get("heads").is_none() && plain.get("output").is_none());
        g.add_head(end, 0.3).unwrap();
        assert!(g.to_document().unwrap().get("output").is_none(), "it follows from the heads");
        g.set_output(g.value("stem").unwrap()).unwrap();
        let document = g.to_document().unwrap();
        assert_eq!((&document["output"], &document["heads"][0]["layer"]), (&json!("stem"), &json!("end")));
        let Json::Object(fields) = document.clone() else { panic!("not a table") };
        let back = Graph::from_document(fields).unwrap();
        assert_eq!(back.to_document().unwrap(), document);
        assert_eq!((back.heads(), back.output().unwrap()), (g.heads(), Value(1)));
        assert_ne!(back.output().unwrap(), aux);
    }

    #[test]
    fn heads_of_a_document_are_checked() {
        let parse = |heads: &str| {
            let text = format!(r#"{{"input": [4], "layer": [{{"op": "dense", "units": 2}}], {heads}}}"#);
            Graph::from_document(serde_json::from_str(&text).unwrap()).unwrap_err().to_string()
        };
        assert!(parse(r#""heads": [{"layer": "dens", "weight": 1}]"#).contains("did you mean 'dense'"));
        assert!(parse(r#""heads": [{"layer": "dense"}]"#).contains("missing field `weight`"));
        assert!(parse(r#""heads": [{"layer": "dense", "weight": 1}]"#).contains("has no output"));
        assert!(parse(r#""output": 3"#).contains("the name of a layer"));
    }

    #[test]
    fn unknown_layers_and_fields_are_named() {
        let parse = |text: &str| {
            let Json::Object(document) = serde_json::from_str(text).unwrap() else { panic!("not a table") };
            Graph::from_document(document).unwrap_err().to_string()
        };
        let e = parse(r#"{"input": [8, 8, 1], "layer": [{"op": "conv2", "filters": 3, "kernel": 3}]}"#);
        assert!(e.contains("[[layer]] number 1: unknown layer 'conv2' (did you mean 'conv2d'?"), "{e}");
        let e = parse(r#"{"input": [8, 8, 1], "layer": [{"op": "conv2d", "fliters": 3, "kernel": 3}]}"#);
        assert!(e.contains("fliters"), "{e}");
    }
}
