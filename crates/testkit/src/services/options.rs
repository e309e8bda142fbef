//! The command line of `with-services`.

use super::Service;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Starts what the tests need, runs a command with TELERAD_TEST_… variables set, stops everything.

  with-services [--only NAMES] [--] COMMAND…      run a command
  with-services [--only NAMES] --tests [ARG…]     build and run the tests of the workspace
  with-services [--only NAMES] --install-only     install what is missing and end

NAMES, separated by commas:
  rabbitmq postgres s3 smtp chromium playwright python dcmtk orthanc poppler fonts viewer
ARG… goes to cargo nextest run (or to cargo test where nextest is not installed).
The last line of a run is: telerad: N passed, N failed, N skipped";

/// What is to be run once the services are up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// Only the help text.
    Help,
    /// Nothing: install and end.
    Install,
    /// The tests of the workspace; the arguments go to the test runner.
    Tests(Vec<String>),
    /// A command, its program first.
    Command(Vec<String>),
    /// Keep watch for another `with-services` and clean up after it.
    Guard,
}

/// A command line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) services: Vec<Service>,
    pub(crate) task: Task,
}

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// A sentence for the person who typed them.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut services = Service::ALL.to_vec();
        while let Some(argument) = arguments.next() {
            let task = match argument.as_str() {
                "--only" => {
                    services = Self::named(&arguments.next().ok_or("--only needs names")?)?;
                    continue;
                }
                "--help" | "-h" => Task::Help,
                "--install-only" => Task::Install,
                "--guard" => Task::Guard,
                "--tests" => Task::Tests(arguments.by_ref().collect()),
                "--" => Task::Command(arguments.by_ref().collect()),
                flag if flag.starts_with('-') => return Err(format!("unknown flag {flag}; try --help")),
                program => {
                    Task::Command([program.to_owned()].into_iter().chain(arguments.by_ref()).collect())
                }
            };
            return match (&task, arguments.next()) {
                (Task::Command(words), _) if words.is_empty() => Err("no command after --".to_owned()),
                (_, Some(rest)) => Err(format!("nothing may follow {argument}, but {rest} does")),
                (_, None) => Ok(Self { services, task }),
            };
        }
        Err("no command given; try --help".to_owned())
    }

    fn named(names: &str) -> Result<Vec<Service>, String> {
        let mut services = Vec::new();
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let service =
                Service::from_name(name).ok_or_else(|| format!("unknown service {name}; try --help"))?;
            if !services.contains(&service) {
                services.push(service);
            }
        }
        Ok(services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_command_may_follow_a_selection() {
        let options = parse("--only postgres,s3,postgres -- psql -c x").unwrap();
        assert_eq!(options.services, [Service::Postgres, Service::S3]);
        assert_eq!(options.task, Task::Command(["psql", "-c", "x"].map(str::to_owned).to_vec()));
        assert_eq!(parse("env").unwrap().services, Service::ALL);
    }

    #[test]
    fn tests_take_arguments_for_the_runner() {
        assert_eq!(parse("--tests -p domain").unwrap().task, Task::Tests(vec!["-p".into(), "domain".into()]));
        assert_eq!(parse("--install-only").unwrap().task, Task::Install);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["", "--", "--only", "--only mysql -- env", "--fast env", "--install-only env"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
