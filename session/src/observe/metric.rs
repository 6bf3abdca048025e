//! What is counted.

/// A number of [`SessionStats`](super::SessionStats) that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// Sessions that began.
    Created,
    /// Sessions that were loaded for a request.
    Loaded,
    /// Sessions that got a new id.
    Renewed,
    /// Sessions that were destroyed. Those that expire are not counted.
    Destroyed,
    /// Sessions that were taken over from another program.
    Imported,
    /// Requests whose ids name no live session: expired, destroyed, malformed or made up.
    UnknownIds,
    /// Requests with an id that has no valid signature, where ids are signed.
    RefusedSignatures,
    /// Requests that a page of another origin may have caused, and that were refused.
    RefusedCrossOrigin,
    /// Forms whose CSRF token was refused.
    RefusedCsrfTokens,
    /// Writes that were merged with the change of another request.
    Conflicts,
    /// Writes that could not be merged, so that the request failed.
    ConflictsGivenUp,
}

/// How many metrics there are.
pub(super) const METRICS: usize = Metric::ALL.len();

impl Metric {
    /// All metrics, in a fixed order.
    pub const ALL: &'static [Self] = &[
        Self::Created,
        Self::Loaded,
        Self::Renewed,
        Self::Destroyed,
        Self::Imported,
        Self::UnknownIds,
        Self::RefusedSignatures,
        Self::RefusedCrossOrigin,
        Self::RefusedCsrfTokens,
        Self::Conflicts,
        Self::ConflictsGivenUp,
    ];

    /// Returns the name for metrics, in snake case, such as `refused_signatures`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Loaded => "loaded",
            Self::Renewed => "renewed",
            Self::Destroyed => "destroyed",
            Self::Imported => "imported",
            Self::UnknownIds => "unknown_ids",
            Self::RefusedSignatures => "refused_signatures",
            Self::RefusedCrossOrigin => "refused_cross_origin",
            Self::RefusedCsrfTokens => "refused_csrf_tokens",
            Self::Conflicts => "conflicts",
            Self::ConflictsGivenUp => "conflicts_given_up",
        }
    }

    /// Returns a sentence that says what is counted, for the help text of a metric.
    pub fn description(self) -> &'static str {
        match self {
            Self::Created => "Sessions that began.",
            Self::Loaded => "Sessions that were loaded for a request.",
            Self::Renewed => "Sessions that got a new id.",
            Self::Destroyed => "Sessions that were destroyed.",
            Self::Imported => "Sessions that were taken over from another program.",
            Self::UnknownIds => "Requests whose ids name no live session.",
            Self::RefusedSignatures => "Requests with an id that has no valid signature.",
            Self::RefusedCrossOrigin => "Requests that a page of another origin may have caused.",
            Self::RefusedCsrfTokens => "Forms whose CSRF token was refused.",
            Self::Conflicts => "Writes that were merged with the change of another request.",
            Self::ConflictsGivenUp => "Writes that could not be merged.",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Operation;
    use super::*;

    #[test]
    fn each_metric_and_each_operation_has_its_own_place_and_name() {
        for (place, metric) in Metric::ALL.iter().enumerate() {
            assert_eq!(*metric as usize, place, "{metric:?}");
        }
        for (place, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(*operation as usize, place, "{operation:?}");
        }
        let names: BTreeSet<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), METRICS);
        let names: BTreeSet<_> = Operation::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), Operation::ALL.len());
    }
}
