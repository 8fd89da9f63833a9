//! `striate museum`: famous mistakes at work in a sandbox; what the loss says, and what a check says.

use serde_json::json;
use striate::inspect::museum::{Check, Exhibit, Visit, VisitConfig, exhibit, exhibits, visit};
use striate::{Error, Result};

use crate::args::explain::MuseumArgs;
use crate::out;
use crate::out::say;
use crate::stop;

pub fn run(args: &MuseumArgs) -> Result<()> {
    let Some(name) = &args.exhibit else {
        return match &args.to.draw {
            None => list(args.to.json),
            Some(_) => Err(Error::argument("nothing was named to be drawn").with_help("striate museum D4 --draw FILE")),
        };
    };
    if let Some(path) = &args.to.draw {
        out::check_picture(path, false)?;
    }
    stop::at_once();
    let config = VisitConfig { updates: args.updates, seed: args.seed, ..VisitConfig::default() };
    let rooms: Vec<&Exhibit> = match name.as_str() {
        "all" => exhibits().iter().collect(),
        name => vec![exhibit(name)?],
    };
    let (one, quiet) = (rooms.len() == 1, args.to.json);
    let mut tell = |visit: &Visit| match (quiet, one) {
        (true, _) => {}
        (false, true) => out::raw(visit.to_string().as_bytes()),
        (false, false) => brief(visit),
    };
    let visits = visit(&rooms, &config, &mut tell)?;
    if let Some(path) = &args.to.draw {
        let picture = if one { visits[0].picture()? } else { Visit::pictures(&visits)? };
        picture.save(path)?;
        if !quiet {
            say!("Drawn: {}", path.display());
        }
    }
    if quiet {
        out::json(json!(visits.iter().map(as_json).collect::<Vec<_>>()));
    }
    Ok(())
}

fn list(json: bool) -> Result<()> {
    if json {
        let of = |e: &Exhibit| {
            json!({ "id": e.id, "title": e.title, "mistake": e.mistake, "seen": e.seen, "right": e.right,
                    "wrong": e.wrong, "lesson": e.lesson })
        };
        out::json(json!(exhibits().iter().map(of).collect::<Vec<_>>()));
        return Ok(());
    }
    say!("Mistakes of convolutional networks, to be seen at work:\n");
    exhibits().iter().for_each(|e| say!("  {:<10} {}", e.id, e.title));
    say!(
        "\nstriate museum D4 runs one: trained with and without the mistake, the loss falls either way, and the checks"
    );
    say!("tell the truth. striate museum all runs them all.");
    Ok(())
}

fn brief(visit: &Visit) {
    let [loss, checks] = visit.verdict();
    say!("{}: {}\n  {loss}\n  {checks}\n", visit.exhibit.id, visit.exhibit.title);
}

fn as_json(visit: &Visit) -> serde_json::Value {
    let checks = |all: &[Check]| {
        let of = |c: &Check| json!({ "name": c.name, "error": c.error, "passed": c.passed() });
        all.iter().map(of).collect::<Vec<_>>()
    };
    json!({ "id": visit.exhibit.id, "title": visit.exhibit.title, "lesson": visit.exhibit.lesson,
            "settings": visit.config, "right": visit.right, "wrong": visit.wrong,
            "forward": checks(&visit.formula), "gradients": checks(&visit.gradients), "facts": visit.facts })
}
