"""headscarp latent: what does the latent space of a vae separate?"""

from headscarp.cli.options import BundlePath, Out, Overwrite, StackPath
from headscarp.cli.output import say, tell


def latent(bundle: BundlePath, stack: StackPath, out: Out, overwrite: Overwrite = False) -> None:
    """Show what a vae has learned of places: one page with probes, pictures, reconstructions and traversals.

    Tells the held-out ELBO, and how well a linear probe reads region, season, weather, class and sensor from the
    latents, beside the probe on the means of the bands.

        headscarp latent vae/ domains.zarr --out latent/
    """
    from headscarp.core.artefact import check_output
    from headscarp.core.stack import open_stack
    from headscarp.report.latent import write_latent_report
    from headscarp.report.page import notice_of
    from headscarp.train.latent import read_latents

    check_output(out, overwrite=overwrite)
    opened = open_stack(stack)
    found = read_latents(bundle, opened)
    page = write_latent_report(found, out, notice=notice_of(opened.attrs), bundle=str(bundle))
    say(found.text)
    tell(report=page)
