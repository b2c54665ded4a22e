"""The evidence report: one self-contained HTML page that tells what a demo found, for a reviewer without the lab.

`labs/demo.py` collects `DemoFacts`; `labs.report.page.write_report` draws them.
"""
