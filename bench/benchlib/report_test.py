# SPDX-License-Identifier: BSD-2-Clause
"""Tables and plots, made of results that nobody measured."""

import unittest
from xml.dom import minidom

from . import plots, report
from .figures import Sample

WORK = {"name": "w", "title": "a work", "size": 64, "against": {"peer": 1.5},
        "figure": "rate", "unit": "frames/s", "most": False, "limit": None,
        "load": True}
COST = {**WORK, "figure": "cpu_ns", "unit": "ns", "most": True, "limit": 50}


def results(run="r1", ours=30, **more):
    samples = [Sample(run, n, "w", who, rate, waited=0.0, cpu_ns=40)
               for n in range(3)
               for who, rate in (("top", 100e6), ("us", ours * 1e6),
                                 ("peer", 10e6))]
    return {"run": run, "begun": "then", "cpus": [0, 1], "rounds": 3,
            "seconds": 1.0, "ours": "us", "ceiling": "top",
            "machine": {"processor": "abacus"},
            "contestants": [{"name": "us", "title": "We"},
                            {"name": "peer", "title": "They",
                             "version": "7"}],
            "works": [WORK], "samples": [s._asdict() for s in samples],
            **more}


def rows_of(table, file):
    return table(report.Results([file]))[1:]


class Report(unittest.TestCase):
    def ratio_row(self, *files):
        return report.ratios(report.Results(files))[1]

    def test_a_ratio_and_its_verdict(self):
        self.assertEqual(self.ratio_row(results())[2:6],
                         ["3.00", "3.00..3.00", "at least 1.5", report.MET])
        self.assertEqual(self.ratio_row(results(ours=12))[5], report.RED)

    def test_two_files_have_no_ratio(self):
        row = self.ratio_row(results(), results(run="r2"))
        self.assertEqual((row[2], row[5]), ("-", "-"))
        self.assertIn("one run", row[6])

    def test_near_the_ceiling_there_is_none(self):
        row = self.ratio_row(results(ours=95))
        self.assertEqual(row[2], "-")
        self.assertIn("generator", row[6])

    def test_how_far_processors_were_from_each_other(self):
        file = results()
        self.assertEqual(report.line_text(file), "-")
        for sample, line_ns in zip(file["samples"], ([30.4, 31], [160, 31])):
            sample["line_ns"] = line_ns
        self.assertEqual(report.line_text(file),
                         "30 to 160 ns, 31 in the median")

    def test_all_tables_in_both_forms(self):
        for form in (report.aligned, report.markdown):
            text = report.show([results()], form)
            for words in ("abacus", "30.0 M", "a work", "ns a frame", "(7)"):
                self.assertIn(words, text)
            self.assertNotIn("cycles", text)

    def test_who_takes_no_part_is_told(self):
        file = results()
        file["samples"].append(Sample("r1", -1, "w", "peer", None,
                                      "not here: no such program")._asdict())
        text = report.show([file], report.aligned)
        self.assertEqual(text.count("not here: no such program"), 2)
        self.assertNotIn("10.0 M", text)

    def test_plots_are_drawn(self):
        for file in (results(), results(ours=95), results(samples=[])):
            for plot in (plots.rates, plots.ratios):
                minidom.parseString(plot(report.Results([file])))

    def test_a_cost_is_wanted_to_be_small(self):
        row = rows_of(report.ratios, results(works=[COST]))[0]
        self.assertEqual(row[2:6],
                         ["1.00", "1.00..1.00", "at most 1.5", report.MET])
        self.assertEqual(rows_of(report.limits, results(works=[COST])),
                         [["a work", "40", "ns", "at most 50", report.MET, ""]])
        tight = results(works=[{**COST, "limit": 39}])
        self.assertEqual(rows_of(report.limits, tight)[0][4], report.RED)

    def test_who_makes_his_load_himself_has_no_ceiling(self):
        file = results()
        file["contestants"][1]["own_load"] = True
        shares = {row[1]: row[5] for row in rows_of(report.measured, file)}
        self.assertEqual(shares, {"top": "-", "us": "30%", "peer": "-"})
        for sample in file["samples"]:
            sample["rate"] = 95e6 if sample["who"] == "peer" else sample["rate"]
        self.assertEqual(rows_of(report.ratios, file)[0][2], "0.32")

    def test_a_curve_is_drawn_where_there_are_points(self):
        point = report.Results([results(works=[{**WORK, "curve": "c"}])])
        self.assertEqual(plots.curves(point), ["c"])
        minidom.parseString(plots.curve(point, "c"))
        self.assertEqual(plots.curves(report.Results([results()])), [])

    def test_numbers_in_three_digits(self):
        self.assertEqual([report.amount_text(*a) for a in (
            (1917.0, "ns"), (83.2, "ns"), (1313000.0, "us"), (5e6, "frames/s"))],
            ["1.92 us", "83.2 ns", "1.31 s", "5.00 M frames/s"])
        self.assertEqual([report.number_text(n) for n in
                          (0.1234, 12, 12.3, 1234, 45678, 9.876e6, 123.4e6)],
                         ["0.12", "12", "12.3", "1.23 k", "45.7 k", "9.88 M",
                          "123 M"])


if __name__ == "__main__":
    unittest.main()
