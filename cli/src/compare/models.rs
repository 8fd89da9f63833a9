//! Finished models on the same test images: nothing is trained, and each pair is judged by the images that only one of
//! the two gets right.

use std::path::Path;

use striate::compare::{Course, Metric, Outcome, Parts, Report, Row, measure};
use striate::train::Loss;
use striate::{Error, Result};

use super::{tell, write};
use crate::args::{CompareArgs, PixelArgs};
use crate::input::{self, Wanted};
use crate::run_folder::RunFolder;
use crate::{job, sample, stop};

/// The finished models that were asked for; `None` if these are networks to train.
pub fn asked(what: &[String]) -> Result<Option<&[String]>> {
    let is_finished = |name: &String| {
        let path = Path::new(name);
        path.is_dir() || (path.is_file() && !name.ends_with(".toml"))
    };
    match what.iter().filter(|name| is_finished(name)).count() {
        0 => Ok(None),
        n if n == what.len() && n >= 2 => Ok(Some(what)),
        1 if what.len() == 1 => Err(Error::argument(format!("{} alone has nothing to be compared with", what[0]))
            .with_help("give two models or more")),
        _ => {
            let network = what.iter().find(|name| !is_finished(name)).map_or("", |name| name);
            Err(Error::argument(format!("{network} is no finished model, and others are"))
                .with_help("compare models with models, and networks that are to be trained with such networks"))
        }
    }
}

/// Tests the models and reports.
pub fn run(args: &CompareArgs, names: &[String]) -> Result<()> {
    refuse(args)?;
    let mut rows = Vec::new();
    let mut tested: Option<(String, Vec<String>)> = None;
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(Error::argument(format!("'{name}' is given twice")).with_help("give each model once"));
        }
        let model = input::trained(name, &Wanted { network: &args.network, offline: true })?;
        let data = args.data.clone().or_else(|| tested.as_ref().map(|t| t.0.clone()));
        let data = data.or_else(|| input::trained_on(&model)).ok_or_else(|| {
            Error::argument(format!("{name} does not say what it was trained on"))
                .with_help("give a data set with --data")
        })?;
        let preprocess =
            sample::preprocess(model.preprocess.as_ref(), &PixelArgs::default(), model.graph().input_shape()?)?;
        let split = input::data(&data, preprocess.as_ref())?;
        let test = sample::prepared(split.test, preprocess.as_ref());
        input::same_classes(&model, &*test).map_err(|e| e.within(name))?;
        let parts = Parts { train: split.train, validation: None, test };
        let machine = args.machine.machine()?;
        let on = Course { parts: &parts, machine, stop: Some(stop::flag()), checkpoint: None };
        let loss = input::settings(&model).map_or_else(Loss::default, |settings| settings.loss);
        let measured = measure(&model, &*parts.test, &loss, &on).map_err(|e| e.within(name))?;
        rows.push(Row::new(name, None, &[&Outcome::Finished(measured)]));
        let labels = (0..parts.test.len()).map(|i| parts.test.label(i).to_string()).collect();
        match &tested {
            Some((_, first)) if *first != labels => {
                return Err(Error::argument(format!("{name} was tested on other images than {}", names[0]))
                    .with_help("give one data set for all with --data"));
            }
            _ => tested = Some((job::whole(&data), labels)),
        }
    }
    let (data, labels) = tested.unwrap_or_default();
    let report = Report::new(rows, Metric::Accuracy)?.samples(labels.len());
    let title = format!("{} models on {}", names.len(), Path::new(&data).file_name().unwrap_or_default().display());
    let folder = args.out.as_deref().map(RunFolder::at).transpose()?;
    folder.as_ref().map_or(Ok(()), |folder| write(folder, &title, &report))?;
    tell(args, folder.as_ref(), &report);
    Ok(())
}

// What says how to train says nothing here.
fn refuse(args: &CompareArgs) -> Result<()> {
    let given = [
        ("--only", !args.only.is_empty()),
        ("--updates", args.updates.is_some()),
        ("--epochs", args.epochs.is_some()),
        ("--batch-size", args.batch_size.is_some()),
        ("--limit", args.limit.is_some()),
        ("--seeds", args.seeds.is_some()),
        ("--rates", !args.rates.is_empty()),
        ("--untuned", args.untuned),
        ("--search-seeds", args.search_seeds.is_some()),
        ("--by loss", args.by == "loss"),
        ("--quick", args.quick),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((option, _)) => {
            Err(Error::argument(format!("{option} is for networks that are trained; these models are finished"))
                .with_help(format!("leave out {option}, or give networks by name or TOML file")))
        }
    }
}
