//! Who may connect, and what each may publish and subscribe to.
//!
//! Passwords are in a file as `mosquitto_passwd` writes it (`name:$7$iterations$salt$hash`, PBKDF2 with SHA-512), rules in
//! the syntax of mosquitto's `acl_file`: people have such files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, pbkdf2};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// Rounds for new passwords: a few milliseconds each, since the broker's one thread waits for them (*assumed*;
/// mosquitto takes 101).
pub const ROUNDS: u32 = 10_000;

/// A password, hashed.
#[derive(Clone, Debug)]
struct Hashed {
    rounds: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
    /// Digest of the password that was right last: a client that returns does not cost all rounds again.
    last: Option<[u8; 32]>,
}

/// What a rule allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// To subscribe.
    Read,
    /// To publish.
    Write,
}

/// Whom a rule is for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Who {
    Anonymous,
    User(String),
    /// A pattern: everybody, with `%u` and `%c` filled in.
    Everybody,
}

#[derive(Clone, Debug)]
struct Rule {
    who: Who,
    read: bool,
    write: bool,
    deny: bool,
    filter: String,
}

/// Users and rules.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// None: anybody may connect.
    users: Option<BTreeMap<String, Hashed>>,
    /// None: all is allowed.
    rules: Option<Vec<Rule>>,
}

impl Access {
    /// Reads a password file and a file of rules, as far as they are given.
    ///
    /// # Errors
    /// Every line that is wrong, with its number.
    pub fn parse(users: Option<&str>, rules: Option<&str>) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let users = users.map(|text| lines(text, &mut wrong, "users", user).into_iter().collect());
        let mut who = Who::Anonymous;
        let rules = rules
            .map(|text| lines(text, &mut wrong, "rules", |line| rule(line, &mut who)).into_iter().flatten().collect());
        if wrong.is_empty() { Ok(Self { users, rules }) } else { Err(wrong) }
    }

    /// True if names are proved by passwords.
    pub(super) fn has_users(&self) -> bool {
        self.users.is_some()
    }

    /// Whether this user name and password are right; also without either, if there are no users.
    pub(super) fn admits(&mut self, name: Option<&str>, password: Option<&[u8]>) -> bool {
        let Some(users) = &mut self.users else { return true };
        let known = name.and_then(|n| users.get_mut(n));
        let (Some(user), Some(password)) = (known, password) else { return false };
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&user.salt);
        context.update(password);
        let digest = context.finish().as_ref().try_into().ok();
        if user.last.is_some() && user.last == digest {
            return true;
        }
        let right = pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA512, user.rounds, &user.salt, password, &user.hash).is_ok();
        if right {
            user.last = digest;
        }
        right
    }

    /// Whether a client may publish to a topic, or subscribe to a filter: some rule covers all of it, and none that denies
    /// touches it.
    pub(super) fn allows(&self, right: Right, user: Option<&str>, client_id: &str, filter: &str) -> bool {
        let Some(rules) = &self.rules else { return true };
        let mut allowed = false;
        for rule in rules.iter().filter(|r| r.deny || if right == Right::Read { r.read } else { r.write }) {
            let Some(own) = rule.for_client(user, client_id) else { continue };
            if rule.deny && overlaps(&own, filter) {
                return false;
            }
            allowed |= !rule.deny && covers(&own, filter);
        }
        allowed
    }
}

/// A line of the password file for a new password.
///
/// # Errors
/// If the name cannot stand in such a file.
pub fn password_line(name: &str, password: &[u8], salt: &[u8]) -> Result<String, String> {
    if name.is_empty() || name.contains([':', '\n']) {
        return Err("a user name is not empty, and has no colon in it".to_owned());
    }
    let rounds = NonZeroU32::new(ROUNDS).expect("above 0");
    let mut hash = [0; 64];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, salt, password, &mut hash);
    Ok(format!("{name}:$7${ROUNDS}${}${}", BASE64.encode(salt), BASE64.encode(hash)))
}

/// Each line that is not empty or a comment, read; what is wrong goes to `wrong`.
fn lines<T>(
    text: &str,
    wrong: &mut Vec<String>,
    file: &str,
    mut read: impl FnMut(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut all = Vec::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match read(line) {
            Ok(item) => all.push(item),
            Err(why) => wrong.push(format!("{file}, line {number}: {why}")),
        }
    }
    all
}

fn user(line: &str) -> Result<(String, Hashed), String> {
    let form = || "write NAME:$7$ROUNDS$SALT$HASH, as mosquitto_passwd or --hash-password does".to_owned();
    let (name, rest) = line.split_once(':').ok_or_else(form)?;
    let parts: Vec<&str> = rest.split('$').collect();
    let ["", "7", rounds, salt, hash] = parts[..] else { return Err(form()) };
    let rounds = rounds.parse().map_err(|_| form())?;
    let decode = |text: &str| BASE64.decode(text).map_err(|_| form());
    Ok((name.to_owned(), Hashed { rounds, salt: decode(salt)?, hash: decode(hash)?, last: None }))
}

/// A rule, or none where the line says whom the next are for.
fn rule(line: &str, who: &mut Who) -> Result<Option<Rule>, String> {
    let form = "write: user NAME | topic [read|write|readwrite|deny] FILTER | pattern [...] FILTER";
    let (word, rest) = line.split_once(char::is_whitespace).ok_or(form)?;
    let rest = rest.trim();
    let who = match word {
        "user" => {
            *who = Who::User(rest.to_owned());
            return Ok(None);
        }
        "topic" => who.clone(),
        "pattern" => Who::Everybody,
        _ => return Err(form.to_owned()),
    };
    let (access, filter) = rest.split_once(char::is_whitespace).map_or(("", rest), |(a, f)| (a, f.trim()));
    let (read, write, deny) = match access {
        "read" => (true, false, false),
        "write" => (false, true, false),
        "deny" => (false, false, true),
        "readwrite" | "" => (true, true, false),
        _ => return Err(form.to_owned()),
    };
    if !crate::mqtt::topic::is_filter(filter) {
        return Err(format!("\"{filter}\" is no topic filter"));
    }
    Ok(Some(Rule { who, read, write, deny, filter: filter.to_owned() }))
}

impl Rule {
    /// Its filter, if it is for this client. A name that is itself a filter, or several levels, fits no pattern.
    fn for_client(&self, user: Option<&str>, client_id: &str) -> Option<String> {
        match &self.who {
            Who::Anonymous => user.is_none().then(|| self.filter.clone()),
            Who::User(name) => (user == Some(name)).then(|| self.filter.clone()),
            Who::Everybody => {
                let mut filter = self.filter.clone();
                for (mark, value) in [("%u", user), ("%c", Some(client_id))] {
                    if filter.contains(mark) {
                        let value = value.filter(|v| !v.contains(['+', '#', '/']))?;
                        filter = filter.replace(mark, value);
                    }
                }
                Some(filter)
            }
        }
    }
}

/// True if everything that `filter` matches is matched by `rule`.
fn covers(rule: &str, filter: &str) -> bool {
    let mut levels = filter.split('/');
    for (level, depth) in rule.split('/').zip(0..) {
        let theirs = levels.next();
        // [MQTT-4.7.2-1] a wildcard at the beginning is not for $ topics.
        let dollar = depth == 0 && theirs.is_some_and(|l| l.starts_with('$'));
        match (level, theirs) {
            ("#", _) => return !dollar,
            ("+", Some(theirs)) if theirs != "#" && !dollar => {}
            (level, Some(theirs)) if level == theirs => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// True if some topic may be matched by both.
fn overlaps(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(x), Some(y)) if x == "+" || y == "+" || x == y => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "
# for those without a name
topic read public/#
user alice
topic write sensors/alice/+
topic sensors/#
topic deny sensors/secret
pattern readwrite own/%u/%c/#
";

    #[test]
    fn rules_are_those_of_an_acl_file() {
        let access = Access::parse(None, Some(RULES)).expect("legal");
        let may = |right, user, filter| access.allows(right, user, "c1", filter);
        for (right, user, filter, expected) in [
            (Right::Read, None, "public/#", true),
            (Right::Read, None, "public/a", true),
            (Right::Read, None, "#", false),
            (Right::Read, None, "+/a", false),
            (Right::Write, None, "public/a", false),
            (Right::Read, Some("alice"), "public/a", false),
            (Right::Write, Some("alice"), "sensors/alice/t", true),
            (Right::Read, Some("alice"), "sensors/x/+", true),
            (Right::Write, Some("alice"), "sensors/secret", false),
            (Right::Read, Some("alice"), "sensors/+", false), // it would read the secret
            (Right::Write, Some("bob"), "own/bob/c1/x", true),
            (Right::Write, Some("bob"), "own/alice/c1/x", false),
            (Right::Write, Some("+"), "own/alice/c1/x", false),
        ] {
            assert_eq!(may(right, user, filter), expected, "{right:?} {user:?} {filter}");
        }
        assert!(!covers("#", "$SYS/x") && !covers("+/x", "$SYS/x") && covers("$SYS/#", "$SYS/x") && covers("a/#", "a"));
    }

    #[test]
    fn passwords_and_every_mistake() {
        let line = password_line("alice", b"right", b"salt and pepper").expect("a name");
        let mut access = Access::parse(Some(&line), None).expect("legal");
        for _ in 0..2 {
            assert!(access.admits(Some("alice"), Some(b"right")));
            assert!(!access.admits(Some("alice"), Some(b"wrong")));
            assert!(!access.admits(Some("alice"), None) && !access.admits(Some("bob"), Some(b"right")));
            assert!(!access.admits(None, None));
        }
        let wrong =
            Access::parse(Some("alice\nbob:$6$x"), Some("user a\ntopic read a/#/b\nnonsense")).expect_err("wrong");
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert!(wrong[0].starts_with("users, line 1") && wrong[3].starts_with("rules, line 3"));
    }

    /// As mosquitto_passwd 2.0 wrote it.
    #[test]
    fn mosquittos_passwords_are_read() {
        let line = "test:$7$101$GMkYvBaS+d7fTfkW$99ttBVdqCY7uR4LwPx2/5vtWqxJSw5c7a4PYr3MaPefaIVQjcfFZ1+PLw6lSjWIjnC9oMUi5liv\
                    zDzES+Zq+oQ==";
        let mut access = Access::parse(Some(line), None).expect("legal");
        assert!(access.admits(Some("test"), Some(b"secret")) && !access.admits(Some("test"), Some(b"Secret")));
    }
}
