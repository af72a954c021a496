//! Compares the template with the code: the functions log the metrics of the alarms, they read the
//! environment variables that the template sets, and their roles have least privilege.

use guardian::{Action, Finding, Line, Report, Usage};
use hookkeeper::template::{TEMPLATE, parse};
use providers::Provider;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use storage::{budget::now, guardian::Completeness};
use testkit::{
    provider as provider_of,
    request::{Request, event},
    site::Site,
    workspace,
};

fn template() -> Value {
    parse(TEMPLATE).unwrap()
}

/// The resources of a type, by their logical ids.
fn resources<'a>(template: &'a Value, kind: &str) -> BTreeMap<&'a str, &'a Value> {
    let resources = template["Resources"].as_object().unwrap().iter();
    resources
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (&**name, &resource["Properties"]))
        .collect()
}

/// A metric and the names of its dimensions.
type Metric = (String, BTreeSet<String>);

/// The metrics of everything that a function can log, with the value of `provider`.
async fn logged(provider: &str) -> BTreeSet<Metric> {
    let site = Site::start().await;
    let of_name = provider_of(provider);
    let mut function = site.spawn(&of_name).await;
    let agent = of_name.user_agents[0];
    let kept = Request::post(provider, &event(provider, 1));
    let refused = Request::post(provider, "{}")
        .unauthorized()
        .header("user-agent", &format!("The {agent}/1.0"));
    for request in [kept.clone(), kept, Request::post(provider, "?"), refused] {
        function.invoke(request).await;
    }
    site.stop().await;
    function
        .invoke(Request::post(provider, &event(provider, 2)))
        .await;
    let mut metrics = BTreeSet::new();
    for line in function.log() {
        assert_eq!(line["provider"], provider);
        metrics.extend(metrics_of(&line));
    }
    metrics
}

/// The metrics of everything that the guardian can log.
fn logged_by_guardian() -> BTreeSet<Metric> {
    let findings = [
        (Finding::Missing, Action::Created),
        (Finding::Missing, Action::None),
        (Finding::Unauthorized, Action::None),
        (Finding::Malformed, Action::None),
    ];
    let lines = findings.map(|(finding, action)| Line::new(finding, action, None));
    let healed = Line {
        healed: 1,
        completeness: Some(Completeness {
            until: now(),
            shown: 1,
            stored: 1,
            healed: 0,
        }),
        ..Line::new(Finding::Gap, Action::Healed, None)
    };
    let report = Report {
        lines: lines.into_iter().chain([healed]).collect(),
        usage: Usage {
            calls: 1,
            tokens: 10,
        },
    };
    metrics_of(&serde_json::from_str(&report.log_line("stack", "pipedrive", "7")).unwrap())
}

/// The metrics that a log line declares.
fn metrics_of(line: &Value) -> BTreeSet<Metric> {
    let mut metrics = BTreeSet::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        for dimensions in directive["Dimensions"].as_array().unwrap() {
            let dimensions = dimensions.as_array().unwrap().iter();
            let dimensions = dimensions.map(|name| name.as_str().unwrap().to_owned());
            let dimensions: BTreeSet<_> = dimensions.collect();
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                assert!(line[name].is_number(), "{name}");
                metrics.insert((name.to_owned(), dimensions.clone()));
            }
        }
    }
    metrics
}

/// A metric that an alarm watches.
struct Watched {
    namespace: String,
    metric: String,
    /// The values of its dimensions, by their names.
    dimensions: BTreeMap<String, Value>,
}

/// A namespace, or the text that the name of the stack is put into.
fn namespace(value: &Value) -> &str {
    value["Sub"].as_str().or(value.as_str()).unwrap()
}

/// The metrics that metric filters make of the access log.
fn of_access_log(template: &Value) -> BTreeSet<(String, String)> {
    let filters = resources(template, "AWS::Logs::MetricFilter").into_values();
    let of_log = filters.filter(|filter| filter["LogGroupName"]["Ref"] == "AccessLog");
    let metrics = of_log.map(|filter| &filter["MetricTransformations"][0]);
    metrics
        .map(|metric| {
            let name = metric["MetricName"].as_str().unwrap().to_owned();
            (namespace(&metric["MetricNamespace"]).to_owned(), name)
        })
        .collect()
}

impl Watched {
    fn from_template(metric: &Value) -> Self {
        let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
        let dimensions = dimensions.map(|dimension| {
            let name = dimension["Name"].as_str().unwrap().to_owned();
            (name, dimension["Value"].clone())
        });
        Self {
            namespace: namespace(&metric["Namespace"]).to_owned(),
            metric: metric["MetricName"].as_str().unwrap().to_owned(),
            dimensions: dimensions.collect(),
        }
    }

    fn metric(&self) -> Metric {
        (
            self.metric.clone(),
            self.dimensions.keys().cloned().collect(),
        )
    }
}

#[tokio::test]
async fn every_watched_metric_is_logged() {
    let template = template();
    let mut logged_by = BTreeMap::new();
    for provider in providers::ALL {
        logged_by.insert(provider.name, logged(provider.name).await);
    }
    logged_by.insert("guardian", logged_by_guardian());
    let mut watched_of = BTreeSet::new();
    for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        let watched = Watched::from_template(alarm);
        if watched.namespace == "Hookkeeper" {
            let provider = watched.dimensions.get("provider");
            let function = provider.map_or("guardian", |provider| provider.as_str().unwrap());
            let metric = watched.metric();
            assert!(
                logged_by[function].contains(&metric),
                "{name} watches {metric:?}, which {function} does not log"
            );
            assert_eq!(
                watched.dimensions["stack"]["Ref"], "AWS::StackName",
                "{name}"
            );
            watched_of.insert((function.to_owned(), watched.metric));
        }
    }
    for provider in providers::ALL {
        for metric in [
            "deliveries",
            "unauthenticated",
            "unauthorized_provider",
            "quarantined",
        ] {
            let is_watched = watched_of.contains(&(provider.name.to_owned(), metric.to_owned()));
            assert!(is_watched, "no alarm watches {metric} of {}", provider.name);
        }
    }
    let figures = ["healed", "changes", "changes_stored"];
    let findings = logged_by["guardian"].iter();
    for (metric, _) in findings.filter(|(metric, _)| !figures.contains(&&**metric)) {
        let is_watched = watched_of.contains(&("guardian".to_owned(), metric.clone()));
        assert!(is_watched, "no alarm watches {metric} of the guardian");
    }
    // No delivery here is queued in the fallback queue. The simulations cover that case; this line
    // only adds the name of its metric.
    let queued = (
        "queued".to_owned(),
        BTreeSet::from(["stack".to_owned(), "provider".to_owned()]),
    );
    // So do the relay's own tests with these.
    let of_relay = ["relayed", "relay_dead_letters"]
        .map(|metric| (metric.to_owned(), BTreeSet::from(["stack".to_owned()])));
    let all: BTreeSet<_> = logged_by
        .values()
        .flatten()
        .cloned()
        .chain([queued])
        .chain(of_relay)
        .collect();
    let shown = dashboard_metrics(&template);
    for metric in &shown {
        assert!(
            all.contains(metric),
            "the dashboard shows {metric:?}, which nothing logs"
        );
    }
    assert!(shown.len() >= 5, "{shown:?}");
}

/// Our metrics that the dashboard searches for, in this stack.
fn dashboard_metrics(template: &Value) -> Vec<Metric> {
    let dashboard = resources(template, "AWS::CloudWatch::Dashboard")["Dashboard"];
    let body = dashboard["DashboardBody"]["Sub"].as_str().unwrap();
    let body = body.replace("${ConcurrencyThreshold}", "800");
    let body: Value = serde_json::from_str(&body).unwrap();
    let text = body.to_string().replace('\\', "");
    let searches = text.split("SEARCH('{Hookkeeper,").skip(1);
    let parse = |search: &str| {
        let (dimensions, rest) = search.split_once('}').unwrap();
        assert!(
            rest.starts_with(r#" stack="${AWS::StackName}" "#),
            "{search}"
        );
        let (_, metric) = rest.split_once("MetricName=\"").unwrap();
        let (metric, _) = metric.split_once('"').unwrap();
        let dimensions = dimensions.split(',').map(str::to_owned).collect();
        (metric.to_owned(), dimensions)
    };
    searches.map(parse).collect()
}

/// AWS's own metrics that alarms watch: namespace, metrics, dimensions.
///
/// Sources:
/// - <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>
/// - <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>
/// - <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>
const PUBLISHED: [(&str, &[&str], &[&str]); 5] = [
    (
        "AWS/ApiGateway",
        &["4xx", "5xx", "Count", "Latency"],
        &["ApiId", "Method", "Resource", "Stage"],
    ),
    (
        "AWS/ApiGateway",
        &["4xx", "5xx", "Count", "Latency"],
        &["ApiId", "Stage"],
    ),
    (
        "AWS/Lambda",
        &["Errors", "IteratorAge", "Throttles", "ConcurrentExecutions"],
        &["FunctionName"],
    ),
    ("AWS/Lambda", &["ConcurrentExecutions"], &[]),
    (
        "AWS/SQS",
        &[
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesVisible",
        ],
        &["QueueName"],
    ),
];

#[test]
fn every_watched_metric_of_aws_is_one_that_aws_publishes() {
    let template = template();
    let of_access_log = of_access_log(&template);
    for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        let watched = Watched::from_template(alarm);
        let dimensions: Vec<&str> = watched.dimensions.keys().map(String::as_str).collect();
        let is_published = PUBLISHED.iter().any(|(namespace, metrics, of)| {
            watched.namespace == *namespace
                && metrics.contains(&&*watched.metric)
                && dimensions == *of
        });
        let metric = (watched.namespace.clone(), watched.metric.clone());
        assert!(
            is_published || watched.namespace == "Hookkeeper" || of_access_log.contains(&metric),
            "{name}: {} {} {dimensions:?}",
            watched.namespace,
            watched.metric
        );
    }
}

#[test]
fn the_alarms_of_a_provider_watch_both_of_its_routes() {
    let template = template();
    let alarms = resources(&template, "AWS::CloudWatch::Alarm");
    for provider in providers::ALL {
        for route in ["", "/{proxy+}"] {
            let route = Value::from(format!("/{}{route}", provider.name));
            for metric in ["5xx", "Latency"] {
                let is_watched = alarms.values().any(|alarm| {
                    let watched = Watched::from_template(alarm);
                    watched.metric == metric && watched.dimensions.get("Resource") == Some(&route)
                });
                assert!(is_watched, "no alarm watches {metric} of {route}");
            }
        }
    }
}

#[test]
fn the_latency_alarms_are_at_a_third_of_the_provider_timeout() {
    let template = template();
    for provider in providers::ALL {
        for route in ["", "Slash"] {
            let name = format!("{}{route}LatencyAlarm", capitalized(provider.name));
            let alarm = &template["Resources"][&name]["Properties"];
            assert_eq!(alarm["ComparisonOperator"], "GreaterThanThreshold");
            assert_eq!(alarm["ExtendedStatistic"], "p99");
            let third = provider.timeout.as_secs_f64() * 1_000.0 / 3.0;
            let threshold = alarm["Threshold"].as_f64().unwrap();
            assert!((threshold - third).abs() < 1.0, "{name}: {third}");
        }
    }
}

/// The name of a provider as logical ids begin with it: `Pipedrive`.
fn capitalized(name: &str) -> String {
    format!("{}{}", name[..1].to_uppercase(), &name[1..])
}

/// A logical id, a text or a number of one provider's resources, in the words of all providers.
fn without_names(value: &Value, provider: &Provider, title: &str) -> Value {
    match value {
        Value::String(text) => {
            let text = text.replace(&capitalized(provider.name), "<Provider>");
            let text = text
                .replace(provider.name, "<provider>")
                .replace(title, "<Provider>");
            let text = text.replace(&provider.name.to_uppercase(), "<PROVIDER>");
            let (third, timeout) = (provider.timeout.as_secs_f64() / 3.0, provider.timeout);
            let third = [format!("{third:.1} s"), format!("{third:.2} s")];
            let text = third
                .iter()
                .fold(text, |text, third| text.replace(third, "<third>"));
            text.replace(&format!("{} s", timeout.as_secs()), "<timeout>")
                .into()
        }
        Value::Array(values) => {
            let values = values.iter();
            values
                .map(|value| without_names(value, provider, title))
                .collect()
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                let name = without_names(&name.clone().into(), provider, title);
                let name = name.as_str().unwrap().to_owned();
                (name, without_names(value, provider, title))
            });
            members.collect()
        }
        other => other.clone(),
    }
}

/// The resources of one provider. What only some providers have is left out: the environment
/// variables of their credentials, and the threshold that depends on their timeout.
fn block(template: &Value, provider: &Provider) -> BTreeMap<String, Value> {
    let prefix = capitalized(provider.name);
    let resources = template["Resources"].as_object().unwrap().iter();
    let own = resources.filter(|(name, _)| name.starts_with(&prefix));
    // "Pipedrive got a 5xx response"
    let description = &template["Resources"][format!("{prefix}ServerErrorsAlarm")];
    let description = description["Properties"]["AlarmDescription"].as_str();
    let title = description.unwrap().split(' ').next().unwrap();
    own.map(|(name, resource)| {
        let mut resource = without_names(resource, provider, title);
        if name.ends_with("LatencyAlarm") {
            resource["Properties"]["Threshold"] = Value::Null;
        }
        if name.ends_with("Function") {
            resource["Properties"]["Environment"] = Value::Null;
        }
        (name.replace(&prefix, "<Provider>"), resource)
    })
    .collect()
}

#[test]
fn the_resources_of_all_providers_are_the_same_but_for_names() {
    let template = template();
    let [first, others @ ..] = &providers::ALL;
    let expected = block(&template, first);
    assert!(expected.len() > 10, "{expected:?}");
    for provider in others {
        let block = block(&template, provider);
        let names: Vec<_> = block.keys().collect();
        assert_eq!(
            names,
            expected.keys().collect::<Vec<_>>(),
            "{}",
            provider.name
        );
        for (name, resource) in &block {
            assert_eq!(resource, &expected[name], "{name} of {}", provider.name);
        }
    }
}

#[test]
fn the_docs_have_a_row_for_each_alarm_and_parameter() {
    let template = template();
    let words = providers::ALL.map(|provider| capitalized(provider.name));
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
        .map(|name| for_all(name))
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
    told.extend(
        variables(&template["Globals"]["Function"])
            .into_iter()
            .map(|(name, _)| name),
    );
    for (name, function) in resources(&template, "AWS::Serverless::Function") {
        for (variable, value) in variables(function) {
            let is_of_template = value.get("Ref").is_some()
                || value.get("Sub").is_some()
                || value["If"][0] == "CreateBus";
            assert!(
                is_of_template,
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
    let drain = [
        "dynamodb:PutItem dynamodb:GetItem dynamodb:Query dynamodb:DeleteItem on Table.Arn",
        "sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes on FallbackQueue.Arn",
    ];
    let drain = drain
        .into_iter()
        .map(str::to_owned)
        .chain([log("Drain")])
        .collect();
    let relay = [
        "dynamodb:DescribeStream dynamodb:GetRecords dynamodb:GetShardIterator on Table.StreamArn",
        "dynamodb:ListStreams on ${Table.Arn}/stream/*",
        "events:PutEvents on arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${Name}",
        "sqs:SendMessage on RelayDeadLetterQueue.Arn",
    ];
    let relay = relay
        .into_iter()
        .map(str::to_owned)
        .chain([log("Relay")])
        .collect();
    let guardian = [
        "ssm:GetParametersByPath on arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/hookkeeper/${AWS::StackName}/*",
        "dynamodb:GetItem dynamodb:PutItem dynamodb:Query on Table.Arn",
        "dynamodb:Query on ${Table.Arn}/index/by_recordedtime",
        "sqs:GetQueueAttributes on FallbackQueue.Arn DeadLetterQueue.Arn",
    ];
    let guardian = guardian
        .into_iter()
        .map(str::to_owned)
        .chain([log("Guardian")])
        .collect();
    let forward = vec!["events:InvokeApiDestination on ForwardDestination.Arn".to_owned()];
    let mut expected = BTreeMap::from([
        ("DrainRole".to_owned(), drain),
        ("ForwardRole".to_owned(), forward),
        ("GuardianRole".to_owned(), guardian),
        ("RelayRole".to_owned(), relay),
    ]);
    for provider in providers::ALL {
        let name = capitalized(provider.name);
        expected.insert(format!("{name}Role"), receiver(&name));
    }
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
                (*name).to_owned(),
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
                        let resources = match &statement["Resource"] {
                            Value::Array(resources) => resources.iter().collect(),
                            resource => vec![resource],
                        };
                        let names: Vec<_> = resources.into_iter().map(resource_name).collect();
                        format!("{actions} on {}", names.join(" "))
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

/// The ARN of a resource in a policy, as the template writes it.
fn resource_name(resource: &Value) -> &str {
    let names = [&resource["GetAtt"], &resource["Sub"], &resource["Sub"][0]];
    let mut names = names.into_iter().filter_map(Value::as_str);
    names.next().unwrap()
}

#[test]
fn the_guardian_is_off_unless_it_is_asked_for_and_then_runs_every_15_minutes() {
    let template = template();
    assert_eq!(template["Parameters"]["Guardian"]["Default"], "false");
    let guardians = template["Resources"].as_object().unwrap().iter();
    let guardians: Vec<_> = guardians
        .filter(|(name, _)| name.starts_with("Guardian"))
        .collect();
    assert!(guardians.len() > 5);
    for (name, resource) in guardians {
        assert_eq!(resource["Condition"], "UseGuardian", "{name}");
    }
    let function = resources(&template, "AWS::Serverless::Function")["GuardianFunction"];
    let schedule = &function["Events"]["Schedule"];
    assert_eq!(schedule["Type"], "ScheduleV2");
    assert_eq!(
        schedule["Properties"]["ScheduleExpression"],
        "rate(15 minutes)"
    );
}

#[test]
fn the_fallback_queue_outlives_an_outage() {
    let template = template();
    let drain = resources(&template, "AWS::Serverless::Function")["DrainFunction"];
    let queues = resources(&template, "AWS::SQS::Queue");
    assert_eq!(
        number(&queues["FallbackQueue"]["VisibilityTimeout"]),
        6 * number(&drain["Timeout"])
    );
    assert_eq!(
        number(&queues["FallbackQueue"]["RedrivePolicy"]["maxReceiveCount"]),
        1_000
    );
    assert!(
        queues
            .values()
            .all(|queue| number(&queue["MessageRetentionPeriod"]) == 14 * 86_400)
    );
    assert_eq!(
        number(
            &drain["Events"]["FallbackQueue"]["Properties"]["ScalingConfig"]["MaximumConcurrency"]
        ),
        2
    );
    assert_eq!(
        drain["Events"]["FallbackQueue"]["Properties"]["FunctionResponseTypes"][0],
        "ReportBatchItemFailures"
    );
}

#[test]
fn the_relay_retries_an_outage_until_the_stream_forgets() {
    let template = template();
    let relay = resources(&template, "AWS::Serverless::Function")["RelayFunction"];
    let stream = &relay["Events"]["Stream"]["Properties"];
    assert_eq!(stream["Stream"]["GetAtt"], "Table.StreamArn");
    assert_eq!(stream["StartingPosition"], "TRIM_HORIZON");
    assert_eq!(stream["MaximumRetryAttempts"], -1);
    assert_eq!(stream["MaximumRecordAgeInSeconds"], 23 * 3_600);
    assert_eq!(stream["BisectBatchOnFunctionError"], true);
    assert_eq!(stream["ParallelizationFactor"], 1);
    assert_eq!(
        stream["FunctionResponseTypes"][0],
        "ReportBatchItemFailures"
    );
    let destination = &stream["DestinationConfig"]["OnFailure"]["Destination"];
    assert_eq!(destination["GetAtt"], "RelayDeadLetterQueue.Arn");
    let pattern = stream["FilterCriteria"]["Filters"][0]["Pattern"].as_str();
    let pattern: Value = serde_json::from_str(pattern.unwrap()).unwrap();
    assert_eq!(pattern["eventName"][0], "INSERT");
    assert_eq!(pattern["dynamodb"]["NewImage"]["kind"]["S"][0], "event");
    let alarms = resources(&template, "AWS::CloudWatch::Alarm");
    for (name, hours) in [("RelayAgeAlarm", 1), ("RelayLossAlarm", 12)] {
        assert_eq!(alarms[name]["MetricName"], "IteratorAge", "{name}");
        assert_eq!(
            number(&alarms[name]["Threshold"]),
            hours * 3_600_000,
            "{name}"
        );
    }
}

#[test]
fn the_relay_and_the_forwarding_are_off_unless_they_are_asked_for() {
    let template = template();
    for parameter in ["EventBus", "ForwardUrl", "ForwardSecret"] {
        assert_eq!(
            template["Parameters"][parameter]["Default"], "",
            "{parameter}"
        );
    }
    assert_eq!(template["Parameters"]["ForwardSecret"]["NoEcho"], true);
    for (name, resource) in template["Resources"].as_object().unwrap() {
        let condition = match &**name {
            "Bus" => "CreateBus",
            name if name.starts_with("Relay") => "UseRelay",
            name if name.starts_with("Forward") => "Forward",
            _ => continue,
        };
        assert_eq!(resource["Condition"], condition, "{name}");
    }
}

#[test]
fn each_event_is_posted_as_a_cloud_event_for_a_day() {
    let template = template();
    let rule = resources(&template, "AWS::Events::Rule")["ForwardRule"];
    let target = &rule["Targets"][0];
    assert_eq!(target["InputPath"], "$.detail");
    assert_eq!(
        number(&target["RetryPolicy"]["MaximumEventAgeInSeconds"]),
        86_400
    );
    let queue = &target["DeadLetterConfig"]["Arn"]["GetAtt"];
    assert_eq!(queue, "ForwardDeadLetterQueue.Arn");
    let connection = resources(&template, "AWS::Events::Connection")["ForwardConnection"];
    let parameters = &connection["AuthParameters"];
    let secret = &parameters["ApiKeyAuthParameters"]["ApiKeyValue"];
    assert_eq!(secret["Ref"], "ForwardSecret");
    let header = &parameters["InvocationHttpParameters"]["HeaderParameters"][0];
    assert_eq!(header["Key"], "Content-Type");
    assert_eq!(header["Value"], "application/cloudevents+json");
    let destination = resources(&template, "AWS::Events::ApiDestination")["ForwardDestination"];
    assert!(number(&destination["InvocationRateLimitPerSecond"]) > 0);
    let policy = resources(&template, "AWS::SQS::QueuePolicy")["ForwardDeadLetterQueuePolicy"];
    let admitted = &policy["PolicyDocument"]["Statement"][0];
    assert_eq!(admitted["Principal"]["Service"], "events.amazonaws.com");
    let source = &admitted["Condition"]["ArnEquals"]["aws:SourceArn"];
    assert_eq!(source["GetAtt"], "ForwardRule.Arn");
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
    assert_eq!(
        holders,
        BTreeSet::from([
            "DeadLetterQueue",
            "FallbackQueue",
            "ForwardDeadLetterQueue",
            "RelayDeadLetterQueue",
            "Table"
        ])
    );
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

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn log(function: &str) -> String {
    format!("logs:CreateLogStream logs:PutLogEvents on {function}Log.Arn")
}

/// The rights of a provider's function.
fn receiver(function: &str) -> Vec<String> {
    vec![
        "dynamodb:PutItem on Table.Arn".to_owned(),
        "sqs:SendMessage on FallbackQueue.Arn".to_owned(),
        log(function),
    ]
}

/// The environment variables of a function.
fn variables(function: &Value) -> Map<String, Value> {
    let variables = function["Environment"]["Variables"].as_object();
    variables.cloned().unwrap_or_default()
}
