"""What two linters of the field check, where their programs cannot be had.

pint (github.com/cloudflare/pint) is not served by the Go module proxy that this was made with, and
dashboard-linter (github.com/grafana/dashboard-linter) compiles Loki's parser, which is AGPL. Their
checks are published; here they are written anew, on a parser of PromQL, and under the same names.
Exceptions stand where the linters themselves look for them: comments in the rules, `.pint.hcl`,
and `grafana/dashboards/.lint`.
"""
