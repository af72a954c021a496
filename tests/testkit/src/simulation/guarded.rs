//! Two accounts, one of Pipedrive and one of amoCRM, in which people work for days while something
//! happens to the webhooks, the API or the receiver. The guardian reads back what is missing.
//!
//! Everything is as in the other scenarios: the real handler and the real drain, in virtual time.
//! The guardian is the real one too. The APIs are those of [`crate::api`].

mod account;
mod amocrm;
mod happened;
mod measure;
mod pipedrive;
mod scenarios;
mod watch;

use super::{
    Channel, Figures, Kind,
    aws::Aws,
    crm::Internet,
    dynamodb, function, hash, in_threads, in_virtual_time,
    lambda::Account as LambdaAccount,
    settings, sqs,
    world::{World, hours, since_1970},
};
use crate::{
    api::{AmocrmApi, PipedriveApi},
    sqs::Queue,
};
use account::{Account, Crm};
use fastrand::Rng;
use measure::{Measure, measure};
use scenarios::Deed;
use std::{sync::Arc, time::Duration};
use watch::Guard;

pub use scenarios::{SCENARIOS, Scenario};
pub use watch::Guarding;

/// How long the guardian goes on after the last day: a daily reading of the last day, with the
/// retry horizon.
const AFTERWARDS: Duration = hours(27);
/// More environments than are ever needed.
const CONCURRENCY: usize = 1_000;

/// Runs scenarios with receivers, each in its own thread.
#[must_use]
pub fn run_all(scenarios: &[Scenario], kinds: &[Kind], seed: u64) -> Vec<Figures> {
    in_threads(scenarios, kinds, |scenario, kind| run(scenario, kind, seed))
}

/// Runs a scenario with a receiver.
#[must_use]
pub fn run(scenario: &Scenario, kind: Kind, seed: u64) -> Figures {
    in_virtual_time(seed, live(scenario, kind, seed))
}

async fn live(scenario: &Scenario, kind: Kind, seed: u64) -> Figures {
    let internet = internet(scenario, kind, seed);
    let pipedrive = live_in::<PipedriveApi>(scenario, kind, &internet, Rng::with_seed(seed));
    let amocrm = live_in::<AmocrmApi>(scenario, kind, &internet, Rng::with_seed(!seed));
    let (pipedrive, amocrm) = tokio::join!(pipedrive, amocrm);
    let items = internet.aws.table.items();
    let mut figures = Figures {
        bans: pipedrive.account.api().punishments() + amocrm.account.api().punishments(),
        items: hash(&items),
        guardian: (kind == Kind::Guarded).then(|| pipedrive.done().with(amocrm.done())),
        ..Figures::new(scenario.name, kind)
    };
    for (channel, provider, happened) in [
        (
            Channel::PipedriveV2,
            "pipedrive",
            pipedrive.account.happened(),
        ),
        (Channel::AmocrmAccount, "amocrm", amocrm.account.happened()),
    ] {
        figures.add(channel, measure(provider, &happened, &items));
    }
    figures
}

impl Figures {
    fn add(&mut self, channel: Channel, measure: Measure) {
        self.sent += measure.sent;
        self.lost += measure.lost.len();
        self.kept += measure.sent - measure.lost.len();
        self.doubled += measure.doubled.len();
        self.doubled_events.extend(measure.doubled);
        if let Some(guardian) = &mut self.guardian {
            guardian.needless += measure.needless;
        }
        let start = since_1970(Duration::ZERO);
        let lost = measure.lost.into_iter();
        let lost = lost.map(|lost| (channel, vec![lost.at - start]));
        self.lost_events.extend(lost);
    }
}

/// The receivers, with a table and a queue.
fn internet(scenario: &Scenario, kind: Kind, seed: u64) -> Arc<Internet> {
    let aws = Arc::new(Aws {
        world: Arc::new(World::new(seed)),
        table: dynamodb::Table::with_queries(),
        queue: Queue::default(),
        faults: scenario.faults.to_vec(),
    });
    let lambda = Arc::new(LambdaAccount::new(CONCURRENCY));
    let functions = providers::ALL.map(|provider| {
        let function = function(provider, kind, scenario.rotated(), &aws, &lambda);
        (provider.name, Arc::new(function))
    });
    let internet = Arc::new(Internet {
        aws: aws.clone(),
        functions: functions.into(),
        requests: 0.into(),
        responses: Arc::default(),
    });
    sqs::map_to_drain(&aws, &lambda, &settings());
    internet
}

/// Lets people work in an account, with a guardian or without one.
async fn live_in<A: Crm>(
    scenario: &Scenario,
    kind: Kind,
    internet: &Arc<Internet>,
    mut random: Rng,
) -> Arc<Guard<A>> {
    let account = Arc::new(Account::<A>::new(&mut random));
    let guard = Guard::new(&account, &internet.aws, scenario);
    let end = scenario.lasts + AFTERWARDS;
    let work = account
        .clone()
        .work(internet.clone(), scenario.clone(), random);
    tokio::spawn(work);
    tokio::spawn(suffer(guard.clone(), kind));
    if kind == Kind::Guarded {
        guard.clone().watch(end).await;
    }
    internet.aws.world.sleep_until(end).await;
    guard
}

/// Does what is to be done to the webhook and the token.
async fn suffer<A: Crm>(guard: Arc<Guard<A>>, kind: Kind) {
    for (at, deed) in &*guard.scenario.deeds {
        guard.aws.world.sleep_until(*at).await;
        let is_guarded = kind == Kind::Guarded;
        if is_guarded && *deed == Deed::BeginsRotation {
            guard.set_rotating(true).await;
        }
        guard.account.suffer(*deed, since_1970(*at));
        if is_guarded && *deed == Deed::EndsRotation {
            guard.set_rotating(false).await;
        }
    }
}
