// Prints the PromQL that the Prometheus adapter asks for an external metric, by the adapter's own
// code: adapter-queries CONFIG METRIC NAMESPACE [LABEL=VALUE,...]
//
// What a rule is is decided by the adapter's packages `config` and `naming`; nothing of theirs is
// repeated here. The rule is found as the adapter finds it: by the name that it gives its series.
package main

import (
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"

	prom "sigs.k8s.io/prometheus-adapter/pkg/client"
	"sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"
)

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: adapter-queries CONFIG METRIC NAMESPACE [LABEL=VALUE,...]"))
	}
	queries, err := queriesFor(os.Args[1], os.Args[2], os.Args[3], append(os.Args[4:], "")[0])
	if err != nil {
		fail(err)
	}
	for _, query := range queries {
		fmt.Println(query)
	}
}

// queriesFor gives the query of each rule that offers the metric; more than one is a mistake that
// the caller sees by their number.
func queriesFor(file, metric, namespace, selectorText string) ([]prom.Selector, error) {
	rules, err := config.FromFile(file)
	if err != nil {
		return nil, err
	}
	if len(rules.Rules) > 0 || rules.ResourceRules != nil {
		return nil, fmt.Errorf("%s: only externalRules are expected", file)
	}
	selector, err := labels.Parse(selectorText)
	if err != nil {
		return nil, err
	}
	// No cluster to ask which resources there are: a rule that maps labels to some would need one.
	namers, err := naming.NamersFromConfig(rules.ExternalRules, meta.NewDefaultRESTMapper(nil))
	if err != nil {
		return nil, err
	}
	var queries []prom.Selector
	for i, namer := range namers {
		series := prom.Series{Name: seriesName(rules.ExternalRules[i].SeriesQuery)}
		name, err := namer.MetricNameForSeries(series)
		if err != nil {
			return nil, err
		}
		if name != metric {
			continue
		}
		query, err := namer.QueryForExternalSeries(series.Name, namespace, selector)
		if err != nil {
			return nil, err
		}
		queries = append(queries, query)
	}
	if len(queries) == 0 {
		return nil, fmt.Errorf("%s: no rule offers %s", file, metric)
	}
	return queries, nil
}

// seriesName is the metric's name in a series query such as mgeo_ready{job="x"}.
func seriesName(query string) string {
	for i, r := range query {
		if r == '{' {
			return query[:i]
		}
	}
	return query
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "adapter-queries:", err)
	os.Exit(1)
}
