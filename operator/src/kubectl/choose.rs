//! Which `KvCluster` a command is about.

use kube::ResourceExt;
use kube::api::ListParams;

use super::Error;
use super::reach::Server;
use crate::crd::KvCluster;

/// The resource, as rules of Roles name it.
pub const RESOURCE: &str = "kvclusters.ringkv.dev";

/// The name that a command means, if it says one: by its place, by `--cluster` or in the file.
pub fn named<'a>(
    what: &'static str,
    said: impl IntoIterator<Item = Option<&'a str>>,
) -> Result<Option<&'a str>, Error> {
    let mut names = said.into_iter().flatten();
    let Some(one) = names.next() else {
        return Ok(None);
    };
    match names.find(|&other| other != one) {
        Some(other) => Err(Error::Two {
            what,
            one: one.to_owned(),
            other: other.to_owned(),
        }),
        None => Ok(Some(one)),
    }
}

/// The cluster of a name, or the only one.
pub async fn find(server: &Server, name: Option<&str>) -> Result<KvCluster, Error> {
    let api = server.api::<KvCluster>();
    let Some(name) = name else {
        return only(list(server).await?, &server.namespace);
    };
    let request = api.get_opt(name);
    let found = server.call("get", RESOURCE, request).await?;
    if let Some(object) = found {
        return Ok(object);
    }
    // Who may get one may perhaps not list all: then the message names none.
    let there = match list(server).await {
        Ok(all) => all.iter().map(ResourceExt::name_any).collect(),
        Err(Error::Forbidden { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    Err(Error::NoCluster {
        name: name.to_owned(),
        namespace: server.namespace.clone(),
        there,
    })
}

async fn list(server: &Server) -> Result<Vec<KvCluster>, Error> {
    let api = server.api::<KvCluster>();
    let params = ListParams::default();
    match server.call("list", RESOURCE, api.list(&params)).await {
        Ok(list) => Ok(list.items),
        // A list of nothing is empty: only an unknown kind is not found.
        Err(Error::Api { source, .. }) if is_not_found(&source) => Err(Error::NotInstalled),
        Err(error) => Err(error),
    }
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// The only one there is.
fn only(mut all: Vec<KvCluster>, namespace: &str) -> Result<KvCluster, Error> {
    if all.len() > 1 {
        return Err(Error::Which {
            namespace: namespace.to_owned(),
            there: all.iter().map(ResourceExt::name_any).collect(),
        });
    }
    all.pop().ok_or_else(|| Error::NoClusters {
        namespace: namespace.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::KvClusterSpec;

    fn clusters(names: &[&str]) -> Vec<KvCluster> {
        let make = |name: &&str| KvCluster::new(name, KvClusterSpec::default());
        names.iter().map(make).collect()
    }

    #[test]
    fn one_cluster_needs_no_name_and_several_are_listed() {
        let found = only(clusters(&["rides"]), "there").expect("the only one");
        assert_eq!(found.name_any(), "rides");
        let none = only(clusters(&[]), "there").expect_err("nothing there");
        assert!(
            none.to_string().contains("no KvCluster in namespace there"),
            "{none}"
        );
        let several = only(clusters(&["rides", "trips"]), "there").expect_err("which?");
        assert_eq!(
            several.to_string(),
            "namespace there has several KvClusters: say --cluster with one of rides, trips"
        );
        assert_eq!(several.exit(), crate::exit::Exit::Usage);
    }

    #[test]
    fn a_name_that_is_said_twice_must_be_the_same() {
        let name = |said: [Option<&'static str>; 3]| named("clusters", said);
        assert_eq!(name([None, None, None]).expect("none"), None);
        assert_eq!(name([None, Some("a"), None]).expect("one"), Some("a"));
        assert_eq!(name([Some("a"), None, Some("a")]).expect("one"), Some("a"));
        let two = name([Some("a"), None, Some("b")]).expect_err("two");
        assert_eq!(two.to_string(), "two clusters are named, a and b: name one");
    }
}
