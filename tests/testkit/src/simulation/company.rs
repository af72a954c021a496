//! Simulated company: its CRMs with their registered webhooks, and how these report events.

use super::{
    amocrm, closer,
    crm::{
        Channel::{self, AmocrmAccount, AmocrmPipeline, Closer, PipedriveV1, PipedriveV2},
        Happening, Internet,
    },
    pipedrive::Webhook,
    scenarios::{NEW_WEBHOOK, NO_OLD_WEBHOOK, Scenario, Twist},
    world::World,
};
use crate::api::pipedrive::Standing;
use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinSet;

pub(crate) struct Company {
    pipedrive: Vec<Webhook>,
    amocrm: amocrm::Account,
}

impl Company {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let always = Duration::ZERO..Duration::MAX;
        let pipedrive = match scenario.twist {
            Some(Twist::Rotation) => vec![
                webhook(1, PipedriveV1, "old", Duration::ZERO..NO_OLD_WEBHOOK),
                webhook(2, PipedriveV1, "new", NEW_WEBHOOK..Duration::MAX),
                webhook(3, PipedriveV2, "old", Duration::ZERO..NO_OLD_WEBHOOK),
                webhook(4, PipedriveV2, "new", NEW_WEBHOOK..Duration::MAX),
            ],
            _ => vec![
                webhook(1, PipedriveV1, "old", always.clone()),
                webhook(3, PipedriveV2, "old", always),
            ],
        };
        Self {
            pipedrive,
            amocrm: amocrm::Account::default(),
        }
    }

    /// Sends all deliveries, and ends after the last retry.
    pub(crate) async fn report(
        self: &Arc<Self>,
        internet: &Arc<Internet>,
        happenings: &[Happening],
        scenario: &Scenario,
    ) {
        let mut reports = JoinSet::new();
        for happening in happenings {
            for (at, happening) in reported(happening, scenario, &internet.aws.world) {
                let company = self.clone();
                let internet = internet.clone();
                reports.spawn(async move {
                    internet.aws.world.sleep_until(at).await;
                    company.report_one(&internet, &happening).await;
                });
            }
        }
        reports.join_all().await;
    }

    async fn report_one(&self, internet: &Internet, happening: &Happening) {
        match happening.channel {
            PipedriveV1 | PipedriveV2 => {
                let webhooks = self
                    .pipedrive
                    .iter()
                    .filter(|webhook| webhook.channel == happening.channel);
                let reports = webhooks.map(|webhook| webhook.report(internet, happening));
                futures_util::future::join_all(reports).await;
            }
            AmocrmAccount => self.amocrm.report(internet, happening).await,
            AmocrmPipeline => amocrm::report_from_pipeline(internet, happening).await,
            Closer => closer::report(internet, happening).await,
        }
    }

    pub(crate) fn punishments(&self) -> usize {
        let pipedrive = self
            .pipedrive
            .iter()
            .map(|webhook| webhook.standing.lock().unwrap().penalties());
        pipedrive.sum::<usize>() + usize::from(self.amocrm.is_disabled())
    }
}

fn webhook(id: u32, channel: Channel, password: &'static str, exists: Range<Duration>) -> Webhook {
    Webhook {
        id,
        channel,
        password,
        standing: Mutex::new(Standing::new(exists.start)),
        exists,
    }
}

/// When a delivery is sent: immediately, or twice and late.
fn reported(
    happening: &Happening,
    scenario: &Scenario,
    world: &World,
) -> Vec<(Duration, Happening)> {
    if scenario.twist != Some(Twist::Shuffled) {
        return vec![(happening.at, happening.clone())];
    }
    let mut late = Vec::new();
    for is_copy in [false, true] {
        let at = happening.at + world.millis(&(0..600_000));
        let happening = happening.clone();
        late.push((
            at,
            Happening {
                is_copy,
                ..happening
            },
        ));
    }
    late
}
