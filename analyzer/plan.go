package analyzer

import (
	"math"
	"time"
)

const (
	// question is the price of a question, as a delay in parts of the shortest interval. One more question must save more than that.
	question = 0.15
	// stepsPerInterval is the number of steps of a plan in the shortest interval.
	stepsPerInterval = 10
	// mostSteps bounds a plan.
	mostSteps = 1200
	// planned is the share of the jobs for which a plan is made. The others are asked about at growing intervals.
	planned = 0.99
	// explored is the share of jobs that are first asked about at another time than planned, from half to 1.5 times of it: answers at the
	// same times would not show where between them the jobs end, nor whether the service has become faster.
	explored = 1.0 / 12
)

// plan has the times of the questions about a job, for a known distribution of the times of jobs, with the least mean of delay and
// price. Intervals between questions do not shrink.
type plan struct {
	step  time.Duration
	first int     // step of the first question
	gaps  [][]int // by step of the last question, and by the least gap less that of the shortest interval: the next gap in steps
	least int     // gap
}

func newPlan(times shares, initial, most time.Duration) *plan {
	p := &plan{step: initial / stepsPerInterval, least: stepsPerInterval}
	if p.step <= 0 {
		p.step = 1
	}
	step := p.step.Seconds()
	widest := max(int(most/p.step), p.least)
	steps := min(int(times.quantile(planned)/step)+widest+1, mostSteps)
	density := times.spread(step, steps+widest+1)
	// Sums up to each step: of the jobs, and of their times.
	done, moment := make([]float64, len(density)+1), make([]float64, len(density)+1)
	for i, d := range density {
		done[i+1] = done[i] + d
		moment[i+1] = moment[i] + d*(float64(i)+0.5)
	}
	// late is the delay of the jobs that end between two questions, in steps.
	late := func(from, to int) float64 {
		return float64(to)*(done[to]-done[from]) - (moment[to] - moment[from])
	}
	price := question * stepsPerInterval
	cost := make([][]float64, steps+widest+1)
	p.gaps = make([][]int, steps)
	for t := steps + widest; t >= 0; t-- {
		cost[t] = make([]float64, widest-p.least+1)
		open := max(1-done[min(t, len(done)-1)], 0)
		if t >= steps {
			for i := range cost[t] {
				cost[t][i] = open * (float64(widest)/2 + 2*price)
			}
			continue
		}
		p.gaps[t] = make([]int, widest-p.least+1)
		for gap := widest; gap >= p.least; gap-- {
			i := gap - p.least
			c := late(t, t+gap) + open*price + cost[t+gap][i]
			best := gap
			if i+1 < len(cost[t]) && cost[t][i+1] < c {
				c, best = cost[t][i+1], p.gaps[t][i+1]
			}
			cost[t][i], p.gaps[t][i] = c, best
		}
	}
	least := math.Inf(1)
	for t := p.least; t < steps; t++ {
		if c := late(0, t) + cost[t][0]; c < least {
			least, p.first = c, t
		}
	}
	return p
}

// next returns the time of the next question since the submission, and whether the plan reaches so far.
func (p *plan) next(j *asked, again float64) (time.Duration, bool) {
	if j.questions == 0 {
		first := p.first
		if again < explored {
			first = max(p.least, int(float64(first)*(0.5+again/explored)))
		}
		return time.Duration(first) * p.step, p.first > 0
	}
	last := int(j.asked / p.step)
	if last >= len(p.gaps) {
		return 0, false
	}
	i := 0
	if j.gap > 0 {
		i = min(max(int(j.gap/p.step)-p.least, 0), len(p.gaps[last])-1)
	}
	gap := time.Duration(p.gaps[last][i]) * p.step
	return j.asked + gap + time.Duration(again*float64(p.step)), true
}
