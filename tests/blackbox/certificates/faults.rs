//! Files that are in a mess: each fault is told with its line, and the command that is printed mends it.

use super::{is_good, is_mended, note, problem, problems, sh};
use crate::common::*;

/// Lines of a file of the PKI.
fn lines(pki: &Pki, name: &str) -> usize {
    std::fs::read_to_string(pki.path(name))
        .unwrap()
        .lines()
        .count()
}

/// A site as `leaf.pem`, `intermediate.pem` and `site.key`.
fn site(pki: &Pki) -> Issued {
    let site = pki.leaf(&["lb.example.com"]);
    pki.write("leaf.pem", site.leaf_pem());
    pki.write("site.key", site.key_pem());
    site
}

/// Makes `site.pem` by a script; checks that this one fault is found at that line, and mended by its command.
#[track_caller]
fn one_fault(script: &str, line: usize, what: &str) {
    let pki = Pki::new();
    site(&pki);
    sh(&pki, script);
    let args = "--cert site.pem --key site.key";
    let found = problem(&pki, args, Some(line), what);
    assert_eq!(found.file, "site.pem");
    is_mended(&pki, &found, args);
    // What openssl thinks of the mended file.
    let said = sh(
        &pki,
        "openssl verify -CAfile root.pem -untrusted site.pem site.pem",
    );
    assert_eq!(said, "site.pem: OK\n");
}

#[test]
fn leaf_not_first() {
    let pki = Pki::new();
    let line = lines(&pki, "intermediate.pem") + 1;
    drop(pki);
    one_fault(
        "cat intermediate.pem leaf.pem > site.pem",
        line,
        "leaf not first: the server's certificate (lb.example.com) is number 2 of the file",
    );
}

#[test]
fn chain_out_of_order() {
    let pki = Pki::new();
    let second = pki.intermediate.authority("Second Intermediate");
    pki.write("second.pem", second.pem());
    let site = pki.request(&["lb.example.com"]).by(&second).issue();
    pki.write("leaf.pem", site.leaf_pem());
    pki.write("site.key", site.key_pem());
    sh(&pki, "cat leaf.pem intermediate.pem second.pem > site.pem");
    let args = "--cert site.pem --key site.key";
    let found = problem(
        &pki,
        args,
        Some(lines(&pki, "leaf.pem") + 1),
        "chain out of order: here stands Test Intermediate, but Second Intermediate belongs here",
    );
    is_mended(&pki, &found, args);
    sh(
        &pki,
        "cat leaf.pem second.pem intermediate.pem | cmp - site.pem",
    );
}

#[test]
fn blank_line_between_certificates() {
    let pki = Pki::new();
    site(&pki);
    let line = lines(&pki, "leaf.pem") + 1;
    drop(pki);
    one_fault(
        "(cat leaf.pem; echo; echo; cat intermediate.pem) > site.pem",
        line,
        "blank line between certificates",
    );
}

#[test]
fn blank_line_within_a_certificate() {
    one_fault(
        "cat leaf.pem intermediate.pem | sed 's/$/\\n/;3q' > site.pem; cat leaf.pem intermediate.pem | sed 1,3d >> site.pem",
        2,
        "blank line between certificates, or within one (3 lines like this)",
    );
}

#[test]
fn line_longer_than_64_columns() {
    one_fault(
        "(echo '-----BEGIN CERTIFICATE-----'; openssl x509 -in leaf.pem -outform DER | base64 -w 76
          echo '-----END CERTIFICATE-----'; cat intermediate.pem) > site.pem",
        2,
        "line longer than 64 columns",
    );
}

#[test]
fn all_of_the_base64_on_one_line() {
    one_fault(
        "(echo '-----BEGIN CERTIFICATE-----'; openssl x509 -in leaf.pem -outform DER | base64 -w 0; echo
          echo '-----END CERTIFICATE-----'; cat intermediate.pem) > site.pem",
        2,
        "line longer than 64 columns (1 line like this)",
    );
}

#[test]
fn windows_line_endings() {
    one_fault(
        "cat leaf.pem intermediate.pem | sed 's/$/\\r/' > site.pem",
        1,
        "end as on Windows",
    );
}

#[test]
fn old_mac_line_endings() {
    one_fault(
        "cat leaf.pem intermediate.pem | tr '\\n' '\\r' > site.pem",
        1,
        "end as on Windows or an old Mac",
    );
}

#[test]
fn byte_order_mark() {
    one_fault(
        "(printf '\\357\\273\\277'; cat leaf.pem intermediate.pem) > site.pem",
        1,
        "byte order mark",
    );
}

#[test]
fn what_windows_calls_unicode() {
    one_fault(
        "cat leaf.pem intermediate.pem | iconv -f ascii -t utf-16 > site.pem",
        1,
        "byte order mark",
    );
}

#[test]
fn indented_lines() {
    one_fault(
        "cat leaf.pem intermediate.pem | sed 's/^/    /' > site.pem",
        1,
        "begins with spaces",
    );
}

#[test]
fn files_joined_without_a_newline() {
    let pki = Pki::new();
    site(&pki);
    let line = lines(&pki, "leaf.pem");
    drop(pki);
    one_fault(
        "(printf %s \"$(cat leaf.pem)\"; cat intermediate.pem) > site.pem",
        line,
        "END and the next BEGIN are on one line",
    );
}

#[test]
fn base64_without_markers() {
    one_fault(
        "cat leaf.pem intermediate.pem > chain; openssl crl2pkcs7 -nocrl -certfile chain -outform DER | base64 > site.pem",
        1,
        "base64 without BEGIN and END",
    );
}

#[test]
fn unrelated_certificate() {
    let pki = Pki::new();
    site(&pki);
    let line = lines(&pki, "leaf.pem") + lines(&pki, "intermediate.pem") + 1;
    drop(pki);
    one_fault(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj /CN=Stranger -out stranger.pem
         cat leaf.pem intermediate.pem stranger.pem > site.pem",
        line,
        "unrelated certificate in the chain: Stranger signed neither lb.example.com nor anything above it",
    );
}

#[test]
fn the_same_certificate_twice() {
    let pki = Pki::new();
    site(&pki);
    let line = lines(&pki, "leaf.pem") + lines(&pki, "intermediate.pem") + 1;
    drop(pki);
    one_fault(
        "cat leaf.pem intermediate.pem intermediate.pem > site.pem",
        line,
        "the same certificate again (Test Intermediate)",
    );
}

#[test]
fn the_root_is_included() {
    let pki = Pki::new();
    site(&pki);
    let line = lines(&pki, "leaf.pem") + lines(&pki, "intermediate.pem") + 1;
    sh(&pki, "cat leaf.pem intermediate.pem root.pem > site.pem");
    let args = "--cert site.pem --key site.key";
    let found = note(&pki, args, Some(line), "the root is included (Test Root)");
    is_mended(&pki, &found, args);
}

#[test]
fn all_faults_of_a_file_are_told_at_once_and_mended_by_one_command() {
    let pki = Pki::new();
    let other = pki.leaf(&["other.example.com"]);
    pki.write("other.pem", other.leaf_pem());
    site(&pki);
    sh(
        &pki,
        "(printf '\\357\\273\\277'; cat root.pem; echo; cat intermediate.pem other.pem leaf.pem leaf.pem) | sed 's/$/\\r/' > site.pem",
    );
    let args = "--cert site.pem --key site.key";
    let found = problems(&pki, args);
    for what in [
        "byte order mark",
        "end as on Windows",
        "blank line",
        "leaf not first",
        "chain out of order",
        "root is included",
        "unrelated certificate",
        "the same certificate again",
    ] {
        assert!(
            found.iter().any(|p| p.what.contains(what)),
            "{what}: {found:#?}"
        );
    }
    assert_eq!(found.len(), 8, "{found:#?}");
    let in_order: Vec<_> = found.iter().map(|p| p.line).collect();
    assert!(in_order.is_sorted(), "{in_order:?}");
    is_mended(&pki, &found[0], args);
    sh(&pki, "cat leaf.pem intermediate.pem | cmp - site.pem");
}

#[test]
fn names_with_spaces_and_quotes_are_quoted_in_commands() {
    let pki = Pki::new();
    site(&pki);
    let name = "it's my $(site).pem";
    let text = std::fs::read_to_string(pki.path("leaf.pem")).unwrap()
        + &std::fs::read_to_string(pki.intermediate()).unwrap();
    pki.write(name, text.replace('\n', "\r\n"));
    let file = pki.path(name).display().to_string();
    let check = || Equipoise::command(&["cert", "check", "--cert", &file]);
    let exit = check();
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    let command = exit
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("          $ "));
    sh(&pki, command.unwrap());
    assert_eq!(check().code(), Some(0));
}

#[test]
fn a_key_file_is_mended_like_any_other() {
    let pki = Pki::new();
    let site = site(&pki);
    pki.write("site.pem", site.chain_pem());
    let args = "--cert site.pem --key site.key";
    pki.write("site.key", site.key_pem().replace('\n', "\r\n"));
    let found = problem(&pki, args, Some(1), "end as on Windows");
    assert_eq!(found.file, "site.key");
    is_mended(&pki, &found, args);
    assert_eq!(
        std::fs::read_to_string(pki.path("site.key")).unwrap(),
        site.key_pem()
    );

    sh(
        &pki,
        "openssl pkcs8 -topk8 -in site.key -passout pass:secret | sed 's/$/\\r/' > closed.key",
    );
    pki.write("pw", "secret");
    let args = "--cert site.pem --key closed.key --password-file pw";
    let found = problem(&pki, args, Some(1), "end as on Windows");
    assert!(found.mend.contains("no longer encrypted"), "{found:?}");
    is_mended(&pki, &found, args);
}

#[test]
fn damage_is_told_with_its_line() {
    let pki = Pki::new();
    let site = site(&pki);
    let pem = site.chain_pem();
    let args = "--cert site.pem --key site.key";
    let count = lines(&pki, "leaf.pem");

    pki.write("site.pem", &pem[..pem.len() - 60]);
    problem(&pki, args, Some(count + 1), "BEGIN CERTIFICATE has no END");
    pki.write("site.pem", pem.replacen('M', "!", 1));
    problem(&pki, args, Some(2), "is no base64");
    pki.write(
        "site.pem",
        pem.replacen(
            "-----BEGIN CERTIFICATE-----",
            "----BEGIN CERTIFICATE-----",
            1,
        ),
    );
    let found = problems(&pki, args);
    assert_eq!(found[0].line, Some(1));
    assert!(
        found[0].what.contains("five dashes on both sides"),
        "{found:#?}"
    );
    sh(
        &pki,
        "openssl x509 -in leaf.pem -outform DER | head -c 300 > site.der",
    );
    problem(
        &pki,
        "--cert site.der",
        None,
        "neither PEM, DER, P7B nor PFX",
    );
    sh(
        &pki,
        "(echo '-----BEGIN CERTIFICATE-----'; openssl x509 -in leaf.pem -outform DER | head -c 300 | base64 -w 64
          echo '-----END CERTIFICATE-----') > site.pem",
    );
    problem(&pki, "--cert site.pem", Some(1), "cut off or altered");
    // Nothing was written over while looking.
    pki.write("site.pem", &pem);
    is_good(&pki, args);
}
