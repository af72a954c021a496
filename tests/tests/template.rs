//! Compares the template with the code: the functions log the metrics of the alarms, they read the
//! environment variables that the template sets, and their roles have least privilege.

use hookkeeper::{
    dev::{Data, DynamoDb},
    template::{TEMPLATE, parse},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use testkit::{
    house,
    request::{CREDENTIALS, Request, accepted, event},
    runtime_api::{Environment, Function, binary},
    workspace,
};

fn template() -> Value {
    parse(TEMPLATE).unwrap()
}

/// The resources of a type, by their logical ids.
fn resources<'a>(template: &'a Value, kind: &str) -> BTreeMap<&'a str, &'a Value> {
    let resources = template["Resources"].as_object().unwrap().iter();
    resources
        .filter(|(_, it)| it["Type"] == kind)
        .map(|(name, it)| (&**name, &it["Properties"]))
        .collect()
}

/// A metric and the names of its dimensions.
type Metric = (String, BTreeSet<String>);

/// The metrics of everything that a function can log, with the value of `provider`.
async fn logged(provider: &str) -> BTreeSet<Metric> {
    let dynamodb = DynamoDb::start(&Data::Memory, 0, TEMPLATE).await.unwrap();
    let variable = format!("{}_CREDENTIALS", provider.to_uppercase());
    let environment = Environment::of(provider, &dynamodb.endpoint())
        .with(&variable, accepted("main", CREDENTIALS));
    let mut function = Function::spawn(binary(provider), &environment).await;
    let agent = house::provider(provider).user_agents[0];
    let kept = Request::post(provider, &event(provider, 1));
    let refused = Request::post(provider, "{}")
        .unauthorized()
        .header("user-agent", &format!("The {agent}/1.0"));
    for request in [kept.clone(), kept, Request::post(provider, "?"), refused] {
        function.invoke(request).await;
    }
    dynamodb.stop().await;
    function
        .invoke(Request::post(provider, &event(provider, 2)))
        .await;
    let mut metrics = BTreeSet::new();
    for line in function.stdout().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["provider"], provider);
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            for dimensions in directive["Dimensions"].as_array().unwrap() {
                let dimensions = dimensions
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| it.as_str().unwrap().to_owned());
                let dimensions: BTreeSet<_> = dimensions.collect();
                let names = directive["Metrics"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| it["Name"].as_str().unwrap());
                metrics.extend(names.map(|name| (name.to_owned(), dimensions.clone())));
            }
        }
    }
    metrics
}

#[tokio::test]
async fn every_watched_metric_is_logged() {
    let template = template();
    let mut logged_by = BTreeMap::new();
    for provider in providers::ALL {
        logged_by.insert(provider.name, logged(provider.name).await);
    }
    let mut watched = BTreeSet::new();
    for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        if alarm["Namespace"] != "Hookkeeper" {
            continue;
        }
        let dimensions = alarm["Dimensions"].as_array().unwrap();
        let names = dimensions
            .iter()
            .map(|it| it["Name"].as_str().unwrap().to_owned())
            .collect();
        let provider = dimensions
            .iter()
            .find(|it| it["Name"] == "provider")
            .unwrap()["Value"]
            .as_str()
            .unwrap();
        let metric = (alarm["MetricName"].as_str().unwrap().to_owned(), names);
        assert!(
            logged_by[provider].contains(&metric),
            "{name} watches {metric:?}, which {provider} does not log"
        );
        watched.insert((provider.to_owned(), metric.0));
    }
    for provider in providers::ALL {
        for metric in ["deliveries", "refused", "quarantined"] {
            let watched = watched.contains(&(provider.name.to_owned(), metric.to_owned()));
            assert!(watched, "no alarm watches {metric} of {}", provider.name);
        }
    }
    // No delivery here is queued in the fallback queue. The simulations cover that case; this line
    // only adds the name of its metric.
    let all: BTreeSet<_> = logged_by
        .values()
        .flatten()
        .cloned()
        .chain([("spooled".into(), ["provider".into()].into())])
        .collect();
    let dashboard =
        resources(&template, "AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]["Sub"]
            .clone();
    let body: Value = serde_json::from_str(
        &dashboard
            .as_str()
            .unwrap()
            .replace("${ConcurrencyAlarm}", "800"),
    )
    .unwrap();
    let mut searches = 0;
    for search in body.to_string().split("SEARCH('").skip(1) {
        let Some(schema) = search.strip_prefix("{Hookkeeper,") else {
            continue;
        };
        let (dimensions, rest) = schema.split_once('}').unwrap();
        let metric = rest
            .split("MetricName=")
            .nth(1)
            .unwrap()
            .split('"')
            .nth(1)
            .unwrap()
            .trim_end_matches('\\');
        let metric: Metric = (
            metric.to_owned(),
            dimensions.split(',').map(str::to_owned).collect(),
        );
        assert!(
            all.contains(&metric),
            "the dashboard shows {metric:?}, which nothing logs"
        );
        searches += 1;
    }
    assert!(
        searches >= 5,
        "the dashboard shows {searches} of our metrics"
    );
}

#[test]
fn the_latency_alarm_is_at_a_third_of_the_provider_timeout() {
    let template = template();
    for provider in providers::ALL {
        let path = format!("/{}", provider.name);
        let alarms = resources(&template, "AWS::CloudWatch::Alarm");
        let late = alarms.values().find(|alarm| {
            alarm["MetricName"] == "Latency"
                && alarm["Dimensions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|it| it["Value"] == path.as_str())
        });
        let late = late.unwrap_or_else(|| panic!("no alarm watches the latency of {path}"));
        assert_eq!(
            (&late["ExtendedStatistic"], &late["ComparisonOperator"]),
            (&"p99".into(), &"GreaterThanThreshold".into())
        );
        let third = provider.timeout.as_secs_f64() * 1_000.0 / 3.0;
        assert!(
            (late["Threshold"].as_f64().unwrap() - third).abs() < 1.0,
            "{path}: {third}"
        );
    }
}

#[test]
fn the_docs_have_a_row_for_each_alarm_and_parameter() {
    let template = template();
    let words =
        providers::ALL.map(|it| format!("{}{}", it.name[..1].to_uppercase(), &it.name[1..]));
    let for_all = |name: &str| {
        let rest = words.iter().find_map(|word| name.strip_prefix(&**word));
        rest.map_or_else(|| name.to_owned(), |rest| format!("*{rest}"))
    };
    let alarms: BTreeSet<_> = resources(&template, "AWS::CloudWatch::Alarm")
        .into_keys()
        .map(for_all)
        .collect();
    let parameters: BTreeSet<_> = template["Parameters"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let section = |page: &str, title: &str| {
        let text = fs::read_to_string(workspace(page)).unwrap();
        let (_, section) = text.split_once(title).unwrap();
        section.split("\n#").next().unwrap().to_owned()
    };
    let rows = |text: String| -> BTreeSet<String> {
        let firsts = text
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once(" | ")?.0.to_owned()));
        firsts
            .flat_map(|first| {
                first
                    .split(", ")
                    .map(|name| name.trim_matches('`').to_owned())
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    assert_eq!(rows(section("docs/operations.md", "\n## Alarms\n")), alarms);
    assert_eq!(
        rows(section("docs/deploy.md", "\n## Parameters\n")),
        parameters
    );
}

#[test]
fn the_template_sets_the_environment_variables_that_the_functions_read() {
    let template = template();
    let mut told: BTreeSet<String> = BTreeSet::new();
    let variables = |it: &Value| {
        it["Environment"]["Variables"]
            .as_object()
            .cloned()
            .unwrap_or_default()
    };
    told.extend(
        variables(&template["Globals"]["Function"])
            .into_iter()
            .map(|(name, _)| name),
    );
    for (name, function) in resources(&template, "AWS::Serverless::Function") {
        for (variable, value) in variables(function) {
            assert!(
                value.get("Ref").is_some(),
                "{variable} of {name} is no parameter: {value}"
            );
            told.insert(variable);
        }
    }
    let mut read = BTreeSet::new();
    for folder in ["shared", "functions"] {
        literals(&workspace(folder), "HOOKKEEPER_", &mut read);
    }
    for provider in providers::ALL {
        let keys = provider.supports(providers::Scheme::UrlKey);
        let lists = ["CREDENTIALS", "KEYS"]
            .into_iter()
            .take(if keys { 2 } else { 1 });
        read.extend(lists.map(|list| format!("{}_{list}", provider.name.to_uppercase())));
    }
    assert_eq!(told, read);
}

/// The string literals with a prefix in the sources of a folder.
fn literals(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            literals(&entry.path(), prefix, found);
        } else if entry.path().extension().is_some_and(|it| it == "rs") {
            let source = fs::read_to_string(entry.path()).unwrap();
            let whole = source
                .split('"')
                .skip(1)
                .step_by(2)
                .filter(|literal| literal.starts_with(prefix));
            found.extend(
                whole
                    .filter(|literal| !literal.contains(' '))
                    .map(str::to_owned),
            );
        }
    }
}

#[test]
fn a_role_allows_what_its_function_needs_and_no_more() {
    let template = template();
    let log = |name: &str| format!("logs:CreateLogStream logs:PutLogEvents on {name}Log.Arn");
    let receiver = |name: &str| {
        vec![
            "dynamodb:PutItem on Table.Arn".to_owned(),
            "sqs:SendMessage on Spool.Arn".to_owned(),
            log(name),
        ]
    };
    let drain = [
        "dynamodb:PutItem dynamodb:GetItem on Table.Arn",
        "sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes on Spool.Arn",
    ];
    let drain = drain
        .into_iter()
        .map(str::to_owned)
        .chain([log("Drain")])
        .collect();
    let expected = BTreeMap::from([
        ("AmocrmRole", receiver("Amocrm")),
        ("CloserRole", receiver("Closer")),
        ("DrainRole", drain),
        ("PipedriveRole", receiver("Pipedrive")),
    ]);
    let roles = resources(&template, "AWS::IAM::Role");
    let allowed: BTreeMap<_, Vec<_>> = roles
        .iter()
        .map(|(name, role)| {
            let statements = role["Policies"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|it| it["PolicyDocument"]["Statement"].as_array().unwrap());
            (
                *name,
                statements
                    .map(|statement| {
                        assert_eq!(statement["Effect"], "Allow");
                        let actions = match &statement["Action"] {
                            Value::Array(actions) => actions
                                .iter()
                                .map(|it| it.as_str().unwrap())
                                .collect::<Vec<_>>()
                                .join(" "),
                            action => action.as_str().unwrap().to_owned(),
                        };
                        format!(
                            "{actions} on {}",
                            statement["Resource"]["GetAtt"].as_str().unwrap()
                        )
                    })
                    .collect(),
            )
        })
        .collect();
    assert_eq!(allowed, expected);
    for (name, function) in resources(&template, "AWS::Serverless::Function") {
        let own = name.replace("Function", "");
        assert_eq!(function["Role"]["GetAtt"], format!("{own}Role.Arn"));
        assert_eq!(
            function["LoggingConfig"]["LogGroup"]["Ref"],
            format!("{own}Log")
        );
        assert!(
            function.get("Policies").is_none(),
            "{name} has other rights"
        );
    }
    for (name, role) in roles {
        assert!(
            role.get("ManagedPolicyArns").is_none(),
            "{name} has other rights"
        );
    }
}

#[test]
fn the_fallback_queue_outlives_an_outage() {
    let template = template();
    let drain = resources(&template, "AWS::Serverless::Function")["DrainFunction"];
    let queues = resources(&template, "AWS::SQS::Queue");
    let number = |it: &Value| it.as_u64().unwrap();
    assert_eq!(
        number(&queues["Spool"]["VisibilityTimeout"]),
        6 * number(&drain["Timeout"])
    );
    assert_eq!(
        number(&queues["Spool"]["RedrivePolicy"]["maxReceiveCount"]),
        1_000
    );
    assert!(
        queues
            .values()
            .all(|queue| number(&queue["MessageRetentionPeriod"]) == 14 * 86_400)
    );
    assert_eq!(
        number(&drain["Events"]["Spool"]["Properties"]["ScalingConfig"]["MaximumConcurrency"]),
        2
    );
    assert_eq!(
        drain["Events"]["Spool"]["Properties"]["FunctionResponseTypes"][0],
        "ReportBatchItemFailures"
    );
}

#[test]
fn resources_with_data_outlive_the_stack() {
    let template = template();
    let holds_data = ["AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::S3::Bucket"];
    let mut holders = BTreeSet::new();
    for (name, resource) in template["Resources"].as_object().unwrap() {
        if !holds_data.contains(&resource["Type"].as_str().unwrap()) {
            continue;
        }
        assert_eq!(
            resource["DeletionPolicy"], "Retain",
            "{name} goes when the stack is deleted"
        );
        assert_eq!(
            resource["UpdateReplacePolicy"], "Retain",
            "{name} goes when it is replaced"
        );
        holders.insert(&**name);
    }
    assert_eq!(holders, BTreeSet::from(["DeadLetters", "Spool", "Table"]));
}

#[test]
fn the_table_is_protected_from_deletion() {
    let template = template();
    assert_eq!(
        resources(&template, "AWS::DynamoDB::Table")["Table"]["DeletionProtectionEnabled"],
        true
    );
}

#[test]
fn the_stream_of_new_items_is_an_output() {
    let template = template();
    let stream = &resources(&template, "AWS::DynamoDB::Table")["Table"]["StreamSpecification"];
    assert_eq!(stream["StreamViewType"], "NEW_IMAGE");
    assert_eq!(
        template["Outputs"]["StreamArn"]["Value"]["GetAtt"],
        "Table.StreamArn"
    );
}
