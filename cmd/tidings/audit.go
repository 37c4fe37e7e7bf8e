package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tidings"
)

func newAudit(d *deps) *cobra.Command {
	var settle time.Duration
	c := &cobra.Command{
		Use: "audit", Short: "Check that nothing was lost or doubled: what each stage expected against what exists", Args: noArgument,
		Long: `Check the balance: accepted messages against those frozen, open or finished with a reason; audiences against
notifications; planned deliveries against those that exist; and what is overdue. Exits with 1 when it finds a fault.`,
		RunE: func(c *cobra.Command, _ []string) error { return audit(c, d, settle) },
	}
	c.Flags().DurationVar(&settle, "settle", time.Minute, "what is late by less than this counts as under way")
	c.AddCommand(newAuditLog(d), newAuditVerify(d))
	return withOutput(withSettings(c, forStores, forLogs))
}

func audit(c *cobra.Command, d *deps, settle time.Duration) error {
	db, _, err := openRecord(c, d)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing was written
	b, err := db.Balance(c.Context(), settle)
	if err != nil {
		return err
	}
	if err := printBalance(d.printer(c), b); err != nil {
		return err
	}
	if len(b.Faults) > 0 || b.Overdue > 0 {
		return errQuiet
	}
	return nil
}

func printBalance(p *printer, b tidings.Balance) error {
	if p.json {
		return p.value(b)
	}
	rows := [][]string{
		{"messages accepted", fmt.Sprint(b.Messages)},
		{"of them under way", fmt.Sprint(b.Open)},
		{"notifications", fmt.Sprint(b.Notifications)},
	}
	for _, s := range slices.Sorted(maps.Keys(b.Deliveries)) {
		rows = append(rows, []string{"deliveries " + string(s), fmt.Sprint(b.Deliveries[s])})
	}
	rows = append(rows, []string{"overdue", fmt.Sprint(b.Overdue)}, []string{"faults", fmt.Sprint(len(b.Faults))})
	if err := p.table([]string{"BALANCE", ""}, rows); err != nil {
		return err
	}
	if len(b.Faults) == 0 {
		return nil
	}
	faults := make([][]string, len(b.Faults))
	for i, f := range b.Faults {
		faults[i] = []string{f.Rule, f.Where, fmt.Sprint(f.Expected), fmt.Sprint(f.Found)}
	}
	return p.table([]string{"FAULT", "WHERE", "EXPECTED", "FOUND"}, faults)
}
