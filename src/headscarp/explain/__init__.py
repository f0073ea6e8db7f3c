"""Why a net says what it says: input attribution by band, and what is lost when a band is shuffled."""
