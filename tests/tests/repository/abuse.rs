//! What a stranger who knows a URL can do is limited and reported: alarms, throttling, and
//! credentials that everybody knows.

use hookkeeper::{
    known_credentials::{self, KNOWN},
    template::{TEMPLATE, logical_name, parse},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn template() -> Value {
    parse(TEMPLATE).unwrap()
}

/// The resources of a type.
fn resources(template: &Value, kind: &str) -> Vec<Value> {
    let resources = template["Resources"].as_object().unwrap().values();
    let of_kind = resources.filter(|resource| resource["Type"] == kind);
    of_kind.cloned().collect()
}

fn alarm(name: &str) -> Value {
    template()["Resources"][name]["Properties"].clone()
}

#[test]
fn rejections_of_api_gateway_raise_an_alarm() {
    let template = template();
    let filters = resources(&template, "AWS::Logs::MetricFilter");
    for (status, name) in [("429", "TooManyRequestsAlarm"), ("413", "TooLargeAlarm")] {
        let pattern = format!("{{ $.status = \"{status}\" }}");
        let of_status = |filter: &&Value| filter["Properties"]["FilterPattern"] == pattern;
        let filter = &filters.iter().find(of_status).unwrap()["Properties"];
        assert_eq!(filter["LogGroupName"]["Ref"], "AccessLog");
        let metric = &filter["MetricTransformations"][0];
        let alarm = alarm(name);
        assert_eq!(alarm["Namespace"], metric["MetricNamespace"], "{name}");
        assert_eq!(alarm["MetricName"], metric["MetricName"], "{name}");
        assert_eq!(alarm["Threshold"], 0, "{name}");
    }
}

#[test]
fn one_request_of_a_stranger_raises_no_alarm() {
    let strangers = ["unauthenticated", "unauthorized_provider", "too_large"];
    let mut watched = 0;
    for alarm in resources(&template(), "AWS::CloudWatch::Alarm") {
        let alarm = &alarm["Properties"];
        let metric = alarm["MetricName"].as_str().unwrap_or_default();
        if !strangers.contains(&metric) {
            continue;
        }
        watched += 1;
        let is_of_several_minutes = alarm["DatapointsToAlarm"].as_u64() >= Some(2);
        let is_of_many = alarm["Threshold"]["Ref"] == "UnauthorizedThreshold";
        assert!(is_of_several_minutes || is_of_many, "{alarm}");
    }
    assert_eq!(watched, 2 * providers::ALL.len() + 1);
    let many = &template()["Parameters"]["UnauthorizedThreshold"]["Default"];
    assert!(many.as_u64() >= Some(100), "{many}");
}

#[test]
fn the_access_log_has_nothing_whose_length_a_caller_chooses() {
    let template = template();
    let stage = &template["Resources"]["Stage"]["Properties"];
    let format = stage["AccessLogSettings"]["Format"].as_str().unwrap();
    for variable in ["userAgent", "path", "rawQuery", "querystring", "header"] {
        assert!(!format.contains(variable), "{variable}");
    }
}

#[test]
fn the_request_rate_of_each_route_is_a_parameter() {
    let template = template();
    let stage = &template["Resources"]["Stage"];
    for provider in providers::ALL {
        for (route, rest) in [("Route", ""), ("SlashRoute", "/{proxy+}")] {
            let route = logical_name(provider.name, route);
            let key = format!("ANY /{}{rest}", provider.name);
            let resource = &template["Resources"][&route];
            assert_eq!(resource["Properties"]["RouteKey"], key);
            let settings = &stage["Properties"]["RouteSettings"][&key]["If"];
            assert_eq!(settings[0], resource["Condition"], "{key}");
            let settings = &settings[1];
            // The reference to the route makes the stage wait for it.
            let rate = &settings["ThrottlingRateLimit"]["Select"];
            assert_eq!(rate[0], 0, "{key}");
            assert_eq!(rate[1][0]["Ref"], "MaxRequestsPerSecond", "{key}");
            assert_eq!(rate[1][1]["Ref"], route, "{key}");
            assert_eq!(
                settings["ThrottlingBurstLimit"]["Ref"],
                "MaxRequestsInBurst"
            );
            // Those of a route replace the default ones, and the alarms need the metrics.
            assert_eq!(settings["DetailedMetricsEnabled"], true, "{key}");
        }
    }
}

#[test]
fn reserved_concurrency_and_a_closed_execute_api_are_parameters() {
    let template = template();
    for provider in providers::ALL {
        let function = &template["Resources"][logical_name(provider.name, "Function")];
        let reserved = &function["Properties"]["ReservedConcurrentExecutions"]["If"];
        assert_eq!(reserved[0], "ReserveConcurrency", "{}", provider.name);
        assert_eq!(reserved[1]["Ref"], "ReservedConcurrency");
    }
    let apis = resources(&template, "AWS::ApiGatewayV2::Api");
    let closed = &apis[0]["Properties"]["DisableExecuteApiEndpoint"]["If"];
    // Without a domain name nothing else leads to the functions.
    assert_eq!(closed[0], "UseDomain");
    assert_eq!(closed[1]["Ref"], "DisableExecuteApiEndpoint");
    let parameters = &template["Parameters"];
    assert_eq!(parameters["ReservedConcurrency"]["Default"], 0);
    assert_eq!(parameters["DisableExecuteApiEndpoint"]["Default"], "false");
}

#[test]
fn costs_are_limited_only_on_request() {
    let template = template();
    let budget = &template["Resources"]["Budget"];
    assert_eq!(budget["Condition"], "LimitCosts");
    assert_eq!(template["Parameters"]["MonthlyBudget"]["Default"], 0);
    let notifications = &budget["Properties"]["NotificationsWithSubscribers"];
    for notification in notifications.as_array().unwrap() {
        let subscriber = &notification["Subscribers"][0];
        assert_eq!(subscriber["Address"]["Ref"], "AlarmEmail");
    }
}

/// The part of a value that holds if its condition does.
fn if_true(value: &Value) -> &Value {
    value["If"].get(1).unwrap_or(value)
}

#[test]
fn queues_and_topics_refuse_requests_without_tls() {
    let template = template();
    let refuses = |policy: &Value| {
        let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_array();
        let mut statements = statements.unwrap().iter().map(if_true);
        statements.any(|statement| {
            statement["Effect"] == "Deny"
                && statement["Principal"] == "*"
                && statement["Condition"]["Bool"]["aws:SecureTransport"] == "false"
        })
    };
    for (policy, of, kind) in [
        ("AWS::SQS::QueuePolicy", "Queues", "AWS::SQS::Queue"),
        ("AWS::SNS::TopicPolicy", "Topics", "AWS::SNS::Topic"),
    ] {
        let policies = resources(&template, policy);
        assert!(policies.iter().all(refuses), "{policy}");
        let of = policies
            .iter()
            .flat_map(|policy| policy["Properties"][of].as_array().unwrap());
        let mut covered: Vec<&str> = of.map(|of| if_true(of)["Ref"].as_str().unwrap()).collect();
        covered.sort_unstable();
        let all = template["Resources"].as_object().unwrap().iter();
        let all = all.filter(|(_, resource)| resource["Type"] == kind);
        let mut all: Vec<&str> = all.map(|(name, _)| &**name).collect();
        all.sort_unstable();
        assert_eq!(covered, all, "{kind}");
    }
    // The policy replaces the default one, by which alarms may publish.
    let topics = &template["Resources"]["TlsOnlyAlarms"];
    let admitted = &topics["Properties"]["PolicyDocument"]["Statement"][0];
    assert_eq!(admitted["Principal"]["Service"], "cloudwatch.amazonaws.com");
    assert_eq!(admitted["Effect"], "Allow");
}

#[test]
fn the_template_refuses_the_digests_of_well_known_credentials() {
    let template = template();
    let refused = known_credentials::pattern();
    let entry = "[a-z0-9-]{1,32}:[0-9a-f]{64}";
    let pattern = format!("^$|^{refused}{entry}(,{entry})*$");
    for provider in providers::ALL {
        let lists = ["Credentials", "Keys"].map(|list| logical_name(provider.name, list));
        let parameters = lists.iter().map(|list| &template["Parameters"][list]);
        for parameter in parameters.filter(|parameter| !parameter.is_null()) {
            assert_eq!(parameter["AllowedPattern"], pattern, "{}", provider.name);
        }
        let own = format!("{0}:{0}", provider.name);
        assert!(KNOWN.contains(&&*own), "{own}");
    }
    for known in KNOWN {
        let digest = hex::encode(Sha256::digest(known));
        assert!(refused.contains(&digest[..12]), "{known}");
        assert_eq!(known_credentials::of_digest(&digest), Some(known));
    }
}
