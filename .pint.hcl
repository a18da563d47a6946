# For pint, run as `pint lint prometheus/rules`. What it finds is answered here and by comments in the
# rules. tests/lint makes its checks without it, and reads the same answers.
check "rule/dependency" {
  # Counters, summed for each instance by mgeo-requests: mgeo-objectives reads half an hour or more of
  # them at once, and a sample that is 15 s older moves none of that.
  ignoreGroupMismatch = ["job_instance_collector(_model_version)?:mgeo_request_[a-z]+:sum"]
}
