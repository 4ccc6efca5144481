# make demo    installs into .venv and converts the sample collection
# make test    installs with the test extras and runs every test
# make check   lint, types, layers, tests: what CI runs
# make bench   every comparison below, one after the other, into docs/benchmarks.md: takes hours and what each of them needs
# make bench-convert   compares conversions with the pipelines that people use today (needs their Debian packages, see README)
# make bench-fidelity  compares files as good as quality 92 with ImageMagick's and mozjpeg's (installs pyvips)
# make bench-cluster   measures the ledger, and Dask workers that are killed, one and two
# make bench-growth   draws what images and collections cost as they grow (needs those, and libvips)
# make bench-serve   compares the server with IIPImage and large_image (needs iipimage-server, lighttpd, opj and ojph tools)
# make bench-cutout   compares the cutouts of a catalogue with a loop of astropy's Cutout2D
# make bench-first-view  opens a strip BigTIFF of 24 GB on S3 in a browser (needs Ceph and Chromium)
# make bench-pack    compares a pack of a million images with files, LMDB and tar (needs 15 GB of disk, and to be root)
# make bench-zarr    compares virtual levels with stored ones (installs peers into .venv-readers; needs libvips)
# make bench-levels  counts the bytes of every level of real pictures
# make bench-b2nd    compares JPEG 2000 and others within Blosc2 (installs peers into .venv-readers and .venv-grok)
# make bench-jpeg2000  compares JPEG 2000 files as targets
# make readers       lets napari, ome-zarr-py and VirtualiZarr read what is shown and written (in .venv-readers; napari draws
#                    where there is a display: xvfb-run make readers, with libgl1-mesa-dri, libegl1, libxkbcommon-x11-0, libxcb-cursor0)
# make bench-window  compares windows of images up to a gigapixel, from disk and S3 (needs Ceph, opj_compress, libvips)

VENV := .venv
BIN := $(VENV)/bin

# The first Python of 3.12 or newer: on PATH under any name, else the newest one that pyenv has installed.
PYTHON ?= $(shell \
	for p in python3 python python3.14 python3.13 python3.12 \
		$$(ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.*/bin/python 2>/dev/null | sort -rV); do \
		"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && { command -v "$$p"; break; }; \
	done)

# One after the other: what runs beside a measurement is measured, too.
BENCHES := convert fidelity jpeg2000 b2nd growth cluster cutout pack zarr levels window serve first-view

.PHONY: demo test check lint bench $(BENCHES:%=bench-%) readers clean
.DELETE_ON_ERROR:

# The compiled modules are made on installation: what they are made of asks for a new one.
COMPILED := hatch_build.py package-lock.json $(foreach name,parser picker writer,$(wildcard src/ziggurat/codestream/packet_$(name).p*)) \
	src/ziggurat/quality/ssimulacra2_loops.pyx

$(VENV)/installed: pyproject.toml constraints.txt $(COMPILED)
	@test -n "$(PYTHON)" || { echo "Ziggurat needs Python 3.12 or newer; none was found on PATH or under pyenv." >&2; \
		echo "Install one, or say where it is: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/test-installed: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

demo: $(VENV)/installed
	@rm -rf demo && mkdir demo
	$(BIN)/ziggurat convert samples/manifest.csv demo/jpeg --to jpeg --columns source=path,item=object,name=title \
		--name "{object}/{name}.jpg" --quality 80 --subsampling 420
	$(BIN)/ziggurat report demo/jpeg.zgj demo/report.html
	@echo
	@echo "The images:  $(CURDIR)/demo/jpeg"
	@echo "The report:  $(CURDIR)/demo/report.html"

test: $(VENV)/test-installed
	$(BIN)/pytest --numprocesses auto --dist loadgroup $(PYTEST_OPTIONS)

lint: $(VENV)/test-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: lint test

bench:
	for name in $(BENCHES); do $(MAKE) bench-$$name || exit 1; done

$(VENV)/bench-installed: $(VENV)/test-installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test,bench]"
	touch $@

bench-convert: $(VENV)/test-installed
	$(BIN)/python bench/convert.py
	$(BIN)/python bench/convert.py --groups lossless,halved --repetitions 1 --section decoding
	$(BIN)/python bench/scale.py

bench-fidelity: $(VENV)/test-installed
	$(BIN)/pip install --quiet pyvips pyvips-binary
	$(BIN)/python bench/same_as.py

bench-cluster: $(VENV)/test-installed
	$(BIN)/python bench/ledger_speed.py --output docs/benchmarks.md
	$(BIN)/python bench/dask_engine.py --output docs/benchmarks.md

bench-jpeg2000: $(VENV)/test-installed
	$(BIN)/python bench/jpeg2000.py

bench-growth: $(VENV)/bench-installed .venv-peers/installed .venv-large-image/installed
	PYTHONPATH=tests $(BIN)/python bench/growth.py

# large_image needs zarr 2, tifffile zarr 3: two environments.
.venv-peers/installed:
	"$(PYTHON)" -m venv --clear .venv-peers
	.venv-peers/bin/pip install --quiet rasterio tifffile "zarr>=3" imagecodecs s3fs
	touch $@

.venv-large-image/installed:
	"$(PYTHON)" -m venv --clear .venv-large-image
	.venv-large-image/bin/pip install --quiet "large-image[tiff,zarr,vips]"
	touch $@

bench-serve: $(VENV)/test-installed .venv-large-image/installed
	PYTHONPATH=tests $(BIN)/python bench/serve.py
	PYTHONPATH=tests $(BIN)/python bench/serve_load.py

bench-first-view: $(VENV)/test-installed
	PYTHONPATH=tests $(BIN)/python bench/first_view.py

bench-pack: $(VENV)/bench-installed
	$(BIN)/python bench/pack.py

bench-window: $(VENV)/test-installed .venv-peers/installed .venv-large-image/installed
	PYTHONPATH=tests $(BIN)/python bench/window_bytes.py
	PYTHONPATH=tests $(BIN)/python bench/window.py

bench-cutout: $(VENV)/test-installed
	PYTHONPATH=tests $(BIN)/python bench/cutout.py

# Programs that read Zarr, beside Ziggurat: their pins contradict those of the tests.
.venv-readers/installed: pyproject.toml
	"$(PYTHON)" -m venv --clear .venv-readers
	.venv-readers/bin/pip install --quiet --editable . napari pyqt6 ome-zarr-models transformnd deprecated rangehttpserver universal-pathlib aiohttp \
		virtualizarr blosc2 blosc2-grok \
		boto3 dask hypothesis pandas pytest scikit-image toolz xarray
	.venv-readers/bin/pip install --quiet --no-deps ome-zarr
	touch $@

readers: .venv-readers/installed
	PYTHONPATH=tests .venv-readers/bin/pytest -rs --override-ini addopts=--import-mode=importlib \
		--override-ini filterwarnings= tests/interop/test_other_readers.py

# Blosc2's grok plugin encodes with the python-blosc2 that it was built for alone. It is under the AGPL: nothing of ours
# imports it, it runs in a process of its own.
.venv-grok/installed:
	"$(PYTHON)" -m venv --clear .venv-grok
	.venv-grok/bin/pip install --quiet "blosc2<4" blosc2-grok numpy
	touch $@

bench-zarr: .venv-readers/installed .venv-grok/installed
	PYTHONPATH=tests .venv-readers/bin/python bench/zarr_levels.py --grok .venv-grok/bin/python

bench-levels: $(VENV)/test-installed
	PYTHONPATH=tests $(BIN)/python bench/level_bytes.py

bench-b2nd: .venv-readers/installed .venv-grok/installed
	PYTHONPATH=tests .venv-readers/bin/python bench/b2nd.py .venv-grok/bin/python

clean:
	rm -rf $(VENV) .venv-peers .venv-large-image .venv-readers .venv-grok demo build dist
